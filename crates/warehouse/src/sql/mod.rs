//! The SQL side: text to statements, statements to effects and results.
pub mod ddl;
pub mod ddl_parser;
pub mod dml;
pub mod functions;
pub mod information_schema;
pub mod lateral;
pub mod lexer;
pub mod parser;
pub mod partition;
mod place;
pub mod planner;
pub mod provider;
pub mod rewrite;
pub mod series;
pub mod session;
pub mod show;
pub mod statement;
pub mod table_function;
