//! Flink SQL text to a checked plan, and the plan to chains that run over Arrow batches.
//!
//! Start with [`parse_script`], give every [`Statement`] to [`Session::execute`], and take the
//! [`Query`] or [`Insert`] from the [`Outcome`]. The crate opens no socket, names no connector
//! and reads no clock: time and chance come in by [`EvalContext`].
//!
//! ```text
//! script ─ lexer ─ parser ─ ast ─ Session ─ binder (scopes, types) ─ plan: Input + Chain ─ batches
//! ```

pub mod ast;
mod bind;
pub mod chain;
pub mod diagnostic;
mod eval;
pub mod functions;
pub mod java;
mod lexer;
mod parser;
pub mod plan;
pub mod session;
mod stack;
mod types;

#[cfg(test)]
mod tests;

pub use ast::Statement;
pub use chain::{Chain, NotNullEnforcer};
pub use diagnostic::{Diagnostic, Span};
pub use eval::cast::{Mode as CastMode, cast_batch, cast_column};
pub use eval::text::{format_value, to_string};
pub use eval::{EvalContext, Zone};
pub use parser::{Projected, is_reserved, parse_data_type, parse_expression, parse_projection, parse_script};
pub use plan::{
    Branch, ColumnKind, Input, Insert, Query, Scan, ScanColumn, TableColumn, TableDef, TableOption, TablePath,
    WatermarkSpec, describe_changes,
};
pub use session::{CatalogDef, Explained, ExternalCatalogs, Outcome, Relation, Session, ViewDef};
pub use stack::with_room;
