//! Syntax to plan: scopes, typed expressions, queries.

pub(crate) mod expr;
pub(crate) mod query;
pub(crate) mod scope;
