//! The transform language: `projection` and `filter` of a rule, evaluated over single changes.
//!
//! ```text
//! rule ─ parse ─ per table: bind names, types ─► nodes ─► row by row: [filter] ─ project ─ [filter on computed]
//! ```
//!
//! Start with [`Transformer`]. Syntax comes from the SQL parser; types, NULLs and functions follow Flink CDC, which
//! differs from SQL: comparisons with NULL are false, LIKE is a regular expression, CAST wraps around.

mod bind;
mod bind_call;
mod cast;
mod compare;
mod decimal;
mod errors;
mod evolve;
mod functions;
mod interval;
mod literal;
mod node;
mod projection;
mod rule;
mod simple_format;
mod table;
mod transformer;
mod types;
mod udf;
mod unparse;

#[cfg(test)]
mod tests;

pub use rule::{TransformRule, UserFunction};
pub use starweir_sql::Zone;
pub use transformer::{TransformSettings, Transformer};
