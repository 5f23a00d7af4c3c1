//! The lane's check of `mysql-cdc`: the example's script over a real MariaDB, whose tables change while the script runs,
//! is killed and started again. In the end the target is what the query gives at the source.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use starweir_testkit::wait_until;

use crate::binary;
use crate::lane::{Outcome, Place, mariadb, output, with_mariadb};

const KILLS: u64 = 5;
/// Rows of a shop before the script starts, and the keys that changes choose from.
const ROWS: u64 = 2000;
/// The last row: when it has come, everything has.
const MARK: u64 = 1_000_000;

pub fn check(place: &Place) -> Result<Outcome> {
    with_mariadb(place, "mysql-table", |port| follow(place, port))
}

fn follow(place: &Place, port: u16) -> Result<()> {
    let source = |sql: &str| {
        let port = format!("-P{port}");
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-h127.0.0.1", "-uroot", "-proot", "-N", "--default-character-set=utf8mb4"]);
        output(command.args([&port, "-e", sql]))
    };
    source(&std::fs::read_to_string(binary::root().join("examples/mysql/shop.sql"))?)?;
    for shop in ["shop_eu", "shop_us"] {
        source(&format!(
            "USE {shop}; INSERT INTO orders SELECT seq + 10, CONCAT('kunde ', seq), seq / 4, seq % 2, '2026-03-01 08:00:00.000001' FROM seq_1_to_{ROWS}"
        ))?;
    }
    mariadb(
        place,
        "CREATE DATABASE ods; \
         CREATE TABLE ods.orders (shop VARCHAR(20) NOT NULL, id BIGINT NOT NULL, customer STRING, amount DECIMAL(12,2), paid BOOLEAN, placed_at DATETIME) PRIMARY KEY(shop, id)",
    )?;
    let state = place.folder.join("mysql-table-state");
    let mut chance = Chance(20_260_301);
    let mut job = start(place, port, &state)?;
    for _ in 0..KILLS {
        for _ in 0..6 {
            source(&changes(&mut chance))?;
            if let Some(status) = job.try_wait()? {
                bail!("the script ended by itself: {status}");
            }
            std::thread::sleep(Duration::from_millis(chance.below(400)));
        }
        job.kill()?;
        job.wait()?;
        source(&changes(&mut chance))?;
        job = start(place, port, &state)?;
    }
    source(&format!("INSERT INTO shop_us.orders VALUES ({MARK}, 'last', 1, 1, NULL)"))?;
    let found = wait_until("the last row in the target", Duration::from_secs(90), || {
        let count = mariadb(place, &format!("SELECT COUNT(*) AS n FROM ods.orders WHERE id = {MARK}"))?;
        Ok(count.lines().nth(1) == Some("1"))
    });
    Command::new("kill").args(["-INT", &job.id().to_string()]).status()?;
    let ended = job.wait()?;
    found?;
    if !ended.success() {
        bail!("the script ended with {ended}");
    }
    let of = |shop: &str| {
        format!(
            "SELECT '{shop}', id, customer, amount, paid, REPLACE(placed_at, '.000000', '') FROM {shop}.orders WHERE amount > 0"
        )
    };
    let expected = source(&format!("{} UNION ALL {} ORDER BY 1, 2", of("shop_eu"), of("shop_us")))?;
    let got = mariadb(place, "SELECT shop, id, customer, amount, paid, placed_at FROM ods.orders ORDER BY shop, id")?;
    mariadb(place, "DROP DATABASE ods FORCE")?;
    let got: Vec<&str> = got.lines().skip(1).collect();
    let expected: Vec<&str> = expected.lines().collect();
    if got != expected {
        let other = |a: &[&str], b: &[&str]| a.iter().find(|row| !b.contains(row)).map(|row| (*row).to_owned());
        bail!(
            "the target has {} rows, the source {}; missing: {:?}, too many: {:?}",
            got.len(),
            expected.len(),
            other(&expected, &got),
            other(&got, &expected)
        );
    }
    Ok(())
}

fn start(place: &Place, port: u16, state: &Path) -> Result<Child> {
    let mut command = Command::new(&place.binary);
    command.current_dir(binary::root()).args(["run", "examples/mysql/orders.sql", "--state"]).arg(state);
    command.args(["--set", "execution.checkpointing.interval=150ms", "--set"]);
    command.arg(format!("mysql-cdc='port'='{port}','scan.incremental.snapshot.chunk.size'='100'"));
    command.arg("--set").arg(format!(
        "starrocks='jdbc-url'='jdbc:mysql://127.0.0.1:{}','load-url'='127.0.0.1:{}','username'='root'",
        place.mysql, place.http
    ));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("the script could not be started")
}

/// Some transactions of both shops.
fn changes(chance: &mut Chance) -> String {
    let mut sql = String::new();
    for _ in 0..20 {
        sql += "BEGIN;";
        for _ in 0..=chance.below(4) {
            let shop = ["shop_eu", "shop_us"][chance.below(2) as usize];
            let id = chance.below(ROWS + 400);
            let number = chance.below(10_000);
            sql += &match chance.below(6) {
                0 => format!("DELETE FROM {shop}.orders WHERE id = {id};"),
                1 => format!("INSERT IGNORE INTO {shop}.orders VALUES ({id}, 'neu {number}', {number} / 8, 0, NULL);"),
                2 => format!("UPDATE IGNORE {shop}.orders SET id = {} WHERE id = {id};", id + 10_000),
                // A row that the query leaves out from now on, or no longer.
                3 => format!("UPDATE {shop}.orders SET amount = {} WHERE id = {id};", number % 3),
                _ => format!("UPDATE {shop}.orders SET customer = 'Ä {number}', paid = 1 - paid WHERE id = {id};"),
            };
        }
        sql += "COMMIT;";
    }
    sql
}

/// Numbers that a seed decides.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
