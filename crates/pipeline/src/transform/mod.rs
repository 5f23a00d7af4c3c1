//! The transform language: `projection` and `filter` of a rule, evaluated over single changes.

mod rule;

pub use rule::{TransformRule, UserFunction};
use starweir_model::{Result, RowChange, SchemaChange, TableId, TableSchema};
pub struct TransformSettings {
    pub time_zone: chrono_tz::Tz,
    pub decimal_precision_max: u8,
}
pub struct Transformer;
impl Transformer {
    pub fn new(_rules: &[TransformRule], _functions: &[UserFunction], _settings: TransformSettings) -> Result<Self> {
        Ok(Self)
    }
    pub fn applies_to(&self, _table: &TableId) -> bool {
        false
    }
    pub fn schema_change(&mut self, change: SchemaChange) -> Result<Vec<SchemaChange>> {
        Ok(vec![change])
    }
    pub fn change(&mut self, _table: &TableId, change: RowChange) -> Result<Option<RowChange>> {
        Ok(Some(change))
    }
    pub fn schema_before(&self, _table: &TableId) -> Option<&TableSchema> {
        None
    }
}
