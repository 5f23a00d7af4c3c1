//! All rules of a pipeline at work on its events.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use starweir_model::{
    ChangeOp, Clock, DataType, Error, Result, RowChange, SchemaChange, TableColumn, TableId, TableSchema,
};
use starweir_sql::Zone;

use super::bind::{Output, Scope};
use super::errors;
use super::evolve;
use super::node::{Env, Frame};
use super::projection::Rule;
use super::rule::{TransformRule, UserFunction};
use super::table::{Table, failed, keep_announced};
use super::types::TypeSystem;
use super::udf::Udf;
use crate::print;

/// What the pipeline says about its transforms.
#[derive(Clone)]
pub struct TransformSettings {
    /// `local-time-zone`.
    pub time_zone: Zone,
    /// 19 or 38: `transform.decimal.precision.mode`.
    pub decimal_precision_max: u8,
    /// The time of CURRENT_TIMESTAMP and the like, asked once for each change.
    pub clock: Arc<dyn Clock>,
    /// Metadata columns the source offers (`op_ts`, …) beside those every table has; their values come with each
    /// change as [`RowChange::meta`].
    pub metadata: Vec<(String, DataType)>,
    /// Whether messages of errors may hold values of rows. Otherwise a mark stands in their place.
    pub values_in_errors: bool,
}

impl TransformSettings {
    /// Decimals up to 19 digits, no metadata of the source, no values in errors.
    pub fn new(time_zone: Zone, clock: Arc<dyn Clock>) -> Self {
        Self { time_zone, decimal_precision_max: 19, clock, metadata: Vec::new(), values_in_errors: false }
    }
}

impl fmt::Debug for TransformSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransformSettings")
            .field("time_zone", &self.time_zone)
            .field("decimal_precision_max", &self.decimal_precision_max)
            .field("metadata", &self.metadata)
            .field("values_in_errors", &self.values_in_errors)
            .finish_non_exhaustive()
    }
}

/// What rules are compiled with.
pub(super) struct Compiler<'a> {
    pub types: TypeSystem,
    metadata: &'a [(String, DataType)],
    udfs: &'a [Udf],
}

impl<'a> Compiler<'a> {
    pub fn scope(&self, columns: &'a [TableColumn], outputs: &'a [Output]) -> Scope<'a> {
        Scope::new(columns, outputs, self.metadata, self.udfs, self.types)
    }
}

/// The rules of a pipeline, with what is known of each table they apply to.
///
/// Events of one table come in order: its [`SchemaChange::CreateTable`] first, again after every restart, then changes
/// of its rows and of its schema. For each table the first rule that matches is the only one. Tables without a rule
/// ([`Transformer::applies_to`]) pass by untouched; handing their events in gives them back as they are.
#[derive(Debug)]
pub struct Transformer {
    rules: Vec<Rule>,
    udfs: Vec<Udf>,
    settings: TransformSettings,
    tables: HashMap<TableId, (usize, Table)>,
}

impl Transformer {
    /// Parses and checks all rules.
    ///
    /// # Errors
    /// When a rule can not be read, or calls a user function that can not run here.
    pub fn new(rules: &[TransformRule], functions: &[UserFunction], settings: TransformSettings) -> Result<Self> {
        let udfs: Vec<Udf> = functions.iter().map(Udf::new).collect();
        let rules = rules.iter().map(|r| Rule::new(r, &settings.metadata, &udfs)).collect::<Result<_>>()?;
        Ok(Self { rules, udfs, settings, tables: HashMap::new() })
    }

    /// Whether a rule is there for the table.
    pub fn applies_to(&self, table: &TableId) -> bool {
        self.rule_of(table).is_some()
    }

    fn rule_of(&self, table: &TableId) -> Option<usize> {
        self.rules.iter().position(|rule| rule.selector.matches(table))
    }

    /// The source's schema, as its events have told it so far.
    pub fn schema_before(&self, table: &TableId) -> Option<&TableSchema> {
        self.tables.get(table).map(|(_, t)| &t.before)
    }

    /// The schema of the rows that come out.
    pub fn schema_after(&self, table: &TableId) -> Option<&TableSchema> {
        self.tables.get(table).map(|(_, t)| &t.after)
    }

    /// What comes out for a schema change; nothing when it only concerns what the rule leaves out.
    ///
    /// # Errors
    /// When the rule does not fit the table, or no longer does. The state is then as it was.
    pub fn schema_change(&mut self, change: SchemaChange) -> Result<Vec<SchemaChange>> {
        let show = self.settings.values_in_errors;
        self.apply(change).map_err(|e| errors::settle(e, show))
    }

    fn apply(&mut self, change: SchemaChange) -> Result<Vec<SchemaChange>> {
        let id = change.table().clone();
        let Some(index) = self.rule_of(&id) else { return Ok(vec![change]) };
        let rule = &self.rules[index];
        let compiler = Compiler {
            types: TypeSystem { precision_max: self.settings.decimal_precision_max.clamp(1, 38) },
            metadata: &self.settings.metadata,
            udfs: &self.udfs,
        };
        if let SchemaChange::CreateTable { schema, .. } = change {
            let table = Table::compile(&compiler, rule, &id, schema)?;
            let schema = table.after.clone();
            self.tables.insert(id.clone(), (index, table));
            return Ok(vec![SchemaChange::CreateTable { table: id, schema }]);
        }
        if let SchemaChange::DropTable { .. } = change {
            self.tables.remove(&id);
            return Ok(vec![change]);
        }
        let Some((_, known)) = self.tables.get(&id) else {
            return Err(Error::internal(format!("the schema of {id} changes before the table was announced")));
        };
        let schema = evolve::applied(&id, known.before.clone(), &change)?;
        let mut table = Table::compile(&compiler, rule, &id, schema)
            .map_err(|e| failed(e, &print::schema_change(&change), &id, Some((&known.mentioned, &known.after))))?;
        keep_announced(&mut table, known);
        let out = evolve::projected(rule, known, &table, change);
        self.tables.insert(id, (index, table));
        Ok(out.into_iter().collect())
    }

    /// What comes out for a change of a row: None when the filter keeps it back. An update of which only one image
    /// passes becomes an insert or a delete.
    ///
    /// # Errors
    /// When an expression has no value for this row.
    pub fn change(&mut self, table: &TableId, change: RowChange) -> Result<Option<RowChange>> {
        let Some((index, known)) = self.tables.get(table) else {
            return match self.rule_of(table) {
                None => Ok(Some(change)),
                Some(_) => Err(Error::internal(format!("a row of {table} changes before the table was announced"))),
            };
        };
        let rule = &self.rules[*index];
        let env = Env { zone: self.settings.time_zone, now_ms: self.settings.clock.now_ms() };
        transformed(table, rule, known, &change, env)
            .map_err(|e| errors::settle(known.change_failed(e, table, &change), self.settings.values_in_errors))
            .map(|out| out.map(|(op, before, after)| RowChange { op, before, after, meta: change.meta }))
    }
}

type Images = (ChangeOp, Option<Vec<starweir_model::Value>>, Option<Vec<starweir_model::Value>>);

fn transformed(id: &TableId, rule: &Rule, table: &Table, change: &RowChange, env: Env) -> Result<Option<Images>> {
    let image = |row: &Option<Vec<starweir_model::Value>>, op: &'static str| match row {
        None => Ok(None),
        Some(row) => {
            let frame = Frame { source: row, projected: &[], table: id, op, meta: &change.meta, env };
            table.image(id, rule, &frame)
        }
    };
    let (before_op, after_op) = match change.op {
        ChangeOp::Insert => ("+I", "+I"),
        ChangeOp::Update => ("-U", "+U"),
        ChangeOp::Delete => ("-D", "-D"),
        ChangeOp::Replace => ("+R", "+R"),
    };
    let before = image(&change.before, before_op)?;
    let after = image(&change.after, after_op)?;
    let out = match (change.op, before, after) {
        (ChangeOp::Delete, None, _) => return Ok(None),
        (ChangeOp::Delete, before, _) => (ChangeOp::Delete, before, None),
        (ChangeOp::Insert | ChangeOp::Replace, _, None) => return Ok(None),
        (op @ (ChangeOp::Insert | ChangeOp::Replace), before, after) => (op, before, after),
        (ChangeOp::Update, None, None) => return Ok(None),
        // An update the source told without its old image stays one.
        (ChangeOp::Update, None, after) if change.before.is_none() => (ChangeOp::Update, None, after),
        (ChangeOp::Update, None, after) => (ChangeOp::Insert, None, after),
        (ChangeOp::Update, before, None) => (ChangeOp::Delete, before, None),
        (ChangeOp::Update, before, after) => (ChangeOp::Update, before, after),
    };
    Ok(Some(match out {
        (ChangeOp::Delete, before, None) if rule.soft_delete => (ChangeOp::Insert, None, before),
        other => other,
    }))
}
