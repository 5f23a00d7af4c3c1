//! `--local`: a warehouse inside this process, its tables made from the script.

use std::path::Path;
use std::sync::Arc;

use starweir_connectors::starrocks::target;
use starweir_job::{LocalTarget, TargetInfo};
use starweir_model::{Error, Result, SystemClock, TableName};
use starweir_starrocks::{Client, ClientConfig, Metadata};
use starweir_warehouse::{Config, Warehouse};

/// Rows of each table shown at the end.
const ROWS_SHOWN: usize = 20;

/// The warehouse of a run.
pub struct Local {
    warehouse: Warehouse,
    pub target: LocalTarget,
}

impl Local {
    /// Starts it, in memory or in a directory that keeps the data.
    pub async fn start(directory: Option<&Path>) -> Result<Self> {
        let config =
            Config { data_dir: directory.map(Path::to_owned), clock: Arc::new(SystemClock), ..Config::default() };
        let warehouse = Warehouse::start(config).await?;
        let (user, password) = warehouse.local_login();
        let target = LocalTarget {
            jdbc_url: format!("jdbc:mysql://{}", warehouse.mysql_addr()),
            load_url: warehouse.http_addr().to_string(),
            user,
            password,
        };
        Ok(Self { warehouse, target })
    }

    fn metadata(&self) -> Result<Metadata> {
        let config = ClientConfig::new(&self.target.load_url)?
            .with_login(self.target.user.clone(), self.target.password.clone())
            .with_jdbc_url(&self.target.jdbc_url)?;
        Client::new(config)?.metadata()
    }

    /// Makes the databases and tables that are missing.
    pub async fn create_missing(&self, targets: &[TargetInfo]) -> Result<()> {
        let metadata = self.metadata()?;
        for info in targets.iter().filter(|t| t.connector == "starrocks") {
            let Some(table) = table_name(info) else { continue };
            if metadata.table_exists(&table).await? {
                continue;
            }
            metadata.create_database(&table.database).await?;
            let buckets =
                info.options.iter().find(|(k, _)| k == "table.create.num-buckets").and_then(|(_, v)| v.parse().ok());
            metadata.create_table(&target::definition(&table, &info.schema, buckets)?).await?;
        }
        Ok(())
    }

    /// The first rows of a table as a grid, with a heading.
    pub async fn show(&self, table: &TableName) -> Result<String> {
        let metadata = self.metadata()?;
        let found = metadata.describe(table).await?.ok_or_else(|| Error::internal(format!("table {table} is gone")))?;
        let columns: Vec<String> = found.columns.iter().map(|c| c.name.clone()).collect();
        let quoted = format!("`{}`.`{}`", table.database.replace('`', "``"), table.table.replace('`', "``"));
        let count = metadata.query(&format!("SELECT COUNT(*) FROM {quoted}")).await?;
        let count = count.first().and_then(|r| r.first().cloned().flatten()).unwrap_or_default();
        let order =
            found.key_names().iter().map(|k| format!("`{}`", k.replace('`', "``"))).collect::<Vec<_>>().join(", ");
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {order}") };
        let rows = metadata.query(&format!("SELECT * FROM {quoted}{order} LIMIT {ROWS_SHOWN}")).await?;
        let more = count.parse::<usize>().unwrap_or(0).saturating_sub(rows.len());
        let mut text = format!("{table}: {count} rows\n{}", crate::grid::grid(&columns, &rows));
        if more > 0 {
            text.push_str(&format!("… and {more} more\n"));
        }
        Ok(text)
    }

    pub async fn stop(self) -> Result<()> {
        self.warehouse.shutdown().await
    }
}

/// The StarRocks table behind a target.
pub fn table_name(info: &TargetInfo) -> Option<TableName> {
    let option = |key: &str| info.options.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    Some(TableName::new(option("database-name")?, option("table-name")?))
}
