//! The SQL side: text to statements, statements to effects and results.
pub mod ddl_parser;
pub mod lexer;
pub mod parser;
pub mod statement;
