//! Stream Load: headers → plan → rows → segments of a transaction.

pub mod csv;
pub mod json_rows;
pub mod plan;
pub mod run;
pub mod values;
