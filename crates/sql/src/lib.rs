//! Flink SQL text to a checked plan, and the plan to chains that run over Arrow batches.
//!
//! Start with [`parse_script`], give every [`Statement`] to [`Session::execute`], and take the
//! [`Query`] or [`Insert`] from the [`Outcome`]. The crate opens no socket, names no connector
//! and reads no clock: time and chance come in by [`EvalContext`].
pub mod ast;
pub mod diagnostic;
mod lexer;
mod parser;
pub use ast::Statement;
pub use diagnostic::{Diagnostic, Span};
pub use parser::{is_reserved, parse_data_type, parse_expression, parse_script};
