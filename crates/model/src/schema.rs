//! The columns of a table and its primary key.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::types::DataType;

/// A column of a table or of a query's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub data_type: DataType,
    pub comment: Option<String>,
}

impl Column {
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, comment: None }
    }
}

/// Columns in order, and the positions of the primary key's columns (empty: no key).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Schema {
    pub columns: Vec<Column>,
    pub primary_key: Vec<usize>,
}

impl Schema {
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns, primary_key: Vec::new() }
    }

    pub fn with_primary_key(mut self, primary_key: Vec<usize>) -> Self {
        self.primary_key = primary_key;
        self
    }

    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// The Arrow schema record batches of this table have.
    pub fn to_arrow(&self) -> SchemaRef {
        Arc::new(arrow::datatypes::Schema::new(
            self.columns.iter().map(|c| c.data_type.to_arrow_field(&c.name)).collect::<Vec<_>>(),
        ))
    }

    pub fn primary_key_names(&self) -> Vec<&str> {
        self.primary_key.iter().map(|&i| self.columns[i].name.as_str()).collect()
    }
}
