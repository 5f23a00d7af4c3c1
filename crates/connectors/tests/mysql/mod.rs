//! The MySQL capture against real servers. They run where the environment names one:
//! `STARWEIR_TEST_MARIADB` and `STARWEIR_TEST_MYSQL` hold URLs (`cargo xtask services mariadb up` prints one).

mod ddl;
mod harness;
mod modes;
mod race;
mod table;
mod types;
mod writers;
