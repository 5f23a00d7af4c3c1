//! The transform language: `projection` and `filter` of a rule, evaluated over single changes.

mod rule;

pub use rule::{TransformRule, UserFunction};
