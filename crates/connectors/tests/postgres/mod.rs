//! The PostgreSQL capture against a real server: `STARWEIR_TEST_POSTGRES` holds its URL, such as
//! `postgres://postgres:postgres@127.0.0.1:5432/postgres`. Without it the tests say that they are skipped.

mod harness;
mod stream;
mod table;
mod types;
