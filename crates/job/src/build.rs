//! Inserts and queries into a graph: connectors are asked for sources and sinks, equal scans are read once.

use std::collections::BTreeMap;
use std::sync::Arc;

use starweir_connectors::{Changelog, SinkRequest, SourceRequest, Wanted, connector, connectors};
use starweir_engine::{JobGraph, Output, SinkNode, SourceNode, TransformFactory};
use starweir_model::option::OptionError;
use starweir_model::{Clock, Schema, nearest};
use starweir_sql::{Branch, Diagnostic, Input, Query, Scan, ScanColumn, TableDef, TableOption, Zone};

use crate::overrides::Overrides;
use crate::script::{Script, Stage, StageKind};
use crate::select::{RowsSink, SelectRows};
use crate::settings::JobSettings;
use crate::transform::ChainTransform;
use crate::values::Values;

/// A graph and what is worth knowing of it before it runs.
pub struct BuiltJob {
    pub graph: JobGraph,
    pub targets: Vec<TargetInfo>,
    pub bounded: bool,
}

/// A table that is written.
pub struct TargetInfo {
    /// As the script names it.
    pub table: String,
    pub connector: String,
    pub schema: Schema,
    /// As they are used, `--set` and `--local` applied.
    pub options: Vec<(String, String)>,
    pub delivery: String,
    pub changelog: Changelog,
}

/// Builds the job of a stage. `show` takes the rows of a SELECT. Nothing is opened.
///
/// # Errors
/// Everything that is wrong with the tables' options, with places in the script.
pub fn build_job(
    script: &Script,
    stage: &Stage,
    name: &str,
    clock: Arc<dyn Clock>,
    seed: u64,
    show: SelectRows,
) -> Result<BuiltJob, Vec<Diagnostic>> {
    let mut builder = Builder {
        overrides: &script.overrides,
        settings: &stage.settings,
        name,
        clock,
        seed,
        zone: Zone::parse(&stage.settings.zone).unwrap_or(Zone::UTC),
        sources: Vec::new(),
        source_of: BTreeMap::new(),
        sinks: Vec::new(),
        targets: Vec::new(),
        plans: Vec::new(),
        diagnostics: Vec::new(),
    };
    builder.find_shared(stage);
    match &stage.kind {
        StageKind::Inserts(inserts) => {
            for insert in inserts {
                builder.insert(insert);
            }
        }
        StageKind::Select(query) => builder.select(query, show),
        StageKind::Rows { .. } | StageKind::Text(_) => {}
    }
    builder.finish()
}

/// A source that is being put together.
struct Pending {
    node: SourceNode,
    changelog: Changelog,
    /// What it produces, in order.
    wanted: Vec<ScanColumn>,
}

struct Builder<'a> {
    overrides: &'a Overrides,
    settings: &'a JobSettings,
    name: &'a str,
    clock: Arc<dyn Clock>,
    seed: u64,
    zone: Zone,
    sources: Vec<Option<Pending>>,
    /// Fingerprint of a source → index and all columns its branches want.
    source_of: BTreeMap<String, (usize, Vec<ScanColumn>)>,
    sinks: Vec<SinkNode>,
    targets: Vec<TargetInfo>,
    plans: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

impl Builder<'_> {
    /// Collects the columns that all branches together want of each source.
    fn find_shared(&mut self, stage: &Stage) {
        let queries: Vec<&Query> = match &stage.kind {
            StageKind::Inserts(inserts) => inserts.iter().map(|i| &i.query).collect(),
            StageKind::Select(query) => vec![query],
            StageKind::Rows { .. } | StageKind::Text(_) => Vec::new(),
        };
        for branch in queries.iter().flat_map(|q| &q.branches) {
            if let Input::Scan(scan) = &branch.input {
                let next = self.source_of.len();
                let (_, columns) = self.source_of.entry(scan.source_fingerprint()).or_insert((next, Vec::new()));
                for column in &scan.columns {
                    if !columns.contains(column) {
                        columns.push(column.clone());
                    }
                }
            }
        }
        self.sources.resize_with(self.source_of.len(), || None);
    }

    /// The source a branch reads; built when first asked for. None when it could not be (said so already).
    fn source(&mut self, branch: &Branch) -> Option<usize> {
        match &branch.input {
            Input::Values(batch) => {
                let id = format!("values {}", self.sources.len());
                self.sources.push(Some(Pending {
                    node: SourceNode {
                        identity: format!("values {} rows", batch.num_rows()),
                        name: id.clone(),
                        id,
                        source: Arc::new(Values(batch.clone())),
                        outputs: Vec::new(),
                    },
                    changelog: Changelog::AppendOnly,
                    wanted: (0..batch.num_columns()).map(ScanColumn::Physical).collect(),
                }));
                Some(self.sources.len() - 1)
            }
            Input::Scan(scan) => {
                let fingerprint = scan.source_fingerprint();
                let (index, columns) = self.source_of.get(&fingerprint).cloned()?;
                if self.sources[index].is_none() {
                    let pending = self.build_source(scan, columns)?;
                    self.sources[index] = Some(pending);
                }
                Some(index)
            }
        }
    }

    fn build_source(&mut self, scan: &Scan, columns: Vec<ScanColumn>) -> Option<Pending> {
        let table = &scan.table;
        let options = self.overrides.apply(table, &scan.options);
        let found = self.connector(table, &options)?;
        let Some(build) = found.source else {
            let at = value_place(&options, "connector", table);
            let others = connectors().iter().filter(|c| c.source.is_some()).map(|c| c.name).collect::<Vec<_>>();
            self.diagnostics.push(
                Diagnostic::at(at, format!("connector '{}' can be written but not read", found.name))
                    .with_hint(format!("connectors that can be read: {}", others.join(", "))),
            );
            return None;
        };
        if found.name == "filesystem" && !table.partitioned_by.is_empty() {
            self.diagnostics
                .push(Diagnostic::unsupported(table.span.clone(), "PARTITIONED BY on a filesystem table that is read"));
            return None;
        }
        let physical = table.physical_schema();
        let wanted: Vec<Wanted> = columns
            .iter()
            .map(|column| match column {
                ScanColumn::Physical(index) => Wanted::Physical(*index),
                ScanColumn::Metadata(key, data_type) => {
                    Wanted::Metadata { key: key.clone(), data_type: data_type.clone() }
                }
            })
            .collect();
        let given = plain(&options);
        let request = SourceRequest {
            table: &table.path.name,
            physical: &physical,
            wanted: &wanted,
            options: &given,
            batch: self.settings.batch,
            zone: &self.settings.zone,
            seed: self.seed,
            clock: self.clock.clone(),
        };
        match build(&request) {
            Ok(built) => {
                if self.settings.batch && !built.source.is_bounded() {
                    self.diagnostics.push(
                        Diagnostic::at(table.span.clone(), format!("table {} never ends, so it cannot be read in batch mode", table.path.name))
                            .with_hint("bound it (number-of-rows, scan.bounded.mode, a scan.startup.mode that ends), or SET 'execution.runtime-mode' = 'streaming'"),
                    );
                    return None;
                }
                // Two scans of one table with different hints are two sources.
                let twins = self.sources.iter().flatten().filter(|p| p.node.name == table.path.name).count();
                let suffix = if twins > 0 { format!("#{}", twins + 1) } else { String::new() };
                Some(Pending {
                    node: SourceNode {
                        id: format!("{}{suffix}", table.path),
                        identity: built.identity,
                        name: table.path.name.clone(),
                        source: built.source,
                        outputs: Vec::new(),
                    },
                    changelog: built.changelog,
                    wanted: columns,
                })
            }
            Err(errors) => {
                self.option_errors(errors, &options, table);
                None
            }
        }
    }

    fn insert(&mut self, insert: &starweir_sql::Insert) {
        let table = &insert.target;
        if insert.overwrite {
            self.diagnostics.push(Diagnostic::unsupported(insert.span.clone(), "INSERT OVERWRITE"));
            return;
        }
        let routes = self.routes(&insert.query);
        let options = self.overrides.apply(table, &insert.options);
        let Some(found) = self.connector(table, &options) else { return };
        let Some(build) = found.sink else {
            let at = value_place(&options, "connector", table);
            let others = connectors().iter().filter(|c| c.sink.is_some()).map(|c| c.name).collect::<Vec<_>>();
            self.diagnostics.push(
                Diagnostic::at(at, format!("connector '{}' can be read but not written", found.name))
                    .with_hint(format!("connectors that can be written: {}", others.join(", "))),
            );
            return;
        };
        let changelog = routes.iter().map(|(source, _)| self.changelog(*source)).max().unwrap_or(Changelog::AppendOnly);
        // Columns the statement does not name are left out, so that the table's own defaults and, in a partial update,
        // its old values stand.
        let full = table.sink_schema();
        let keep = kept_columns(&insert.target_columns, &full);
        let schema = match &keep {
            None => full,
            Some(kept) => {
                let key = full.primary_key.iter().map(|k| kept.iter().position(|i| i == k)).collect::<Option<Vec<_>>>();
                Schema::new(kept.iter().map(|i| full.columns[*i].clone()).collect())
                    .with_primary_key(key.unwrap_or_default())
            }
        };
        self.check_upsert_keys(insert, &routes, &schema, keep.as_deref());
        let given = plain(&options);
        let request = SinkRequest {
            table: &table.path.name,
            schema: &schema,
            options: &given,
            changelog,
            job: self.name,
            checkpoint_interval: self.settings.checkpoint_interval,
            zone: &self.settings.zone,
        };
        match build(&request) {
            Ok(built) => {
                // One writer per table: inserts with the same columns share it.
                let columns: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
                let id = if keep.is_some() { format!("{} ({})", built.id, columns.join(",")) } else { built.id };
                let sink = match self.sinks.iter().position(|s| s.id == id) {
                    Some(index) => index,
                    None => {
                        self.targets.push(TargetInfo {
                            table: table.path.name.clone(),
                            connector: found.name.to_owned(),
                            schema,
                            options: given,
                            delivery: built.sink.delivery(),
                            changelog,
                        });
                        self.sinks.push(SinkNode { id, sink: built.sink });
                        self.sinks.len() - 1
                    }
                };
                self.connect(routes, sink, keep);
            }
            Err(errors) => self.option_errors(errors, &options, table),
        }
        self.plans.push(insert.fingerprint());
    }

    /// Changes that come without their old rows find their row in the target by a key that the source's key decides:
    /// with another one, the old row would stay.
    fn check_upsert_keys(
        &mut self,
        insert: &starweir_sql::Insert,
        routes: &[(usize, &Branch)],
        schema: &Schema,
        keep: Option<&[usize]>,
    ) {
        for (source, branch) in routes {
            let Input::Scan(scan) = &branch.input else { continue };
            if self.changelog(*source) != Changelog::Upsert {
                continue;
            }
            let key = scan.table.physical_schema().primary_key;
            let is_key = |at: &usize| matches!(scan.columns.get(*at), Some(ScanColumn::Physical(physical)) if key.contains(physical));
            for &column in &schema.primary_key {
                let result = keep.map_or(column, |keep| keep[column]);
                if branch.chain.inputs_of(result).iter().all(is_key) {
                    continue;
                }
                let (from, to) = (&scan.table.path.name, &insert.target.path.name);
                let name = &schema.columns[column].name;
                self.diagnostics.push(
                    Diagnostic::at(
                        insert.span.clone(),
                        format!("column '{name}' of the primary key of {to} does not come from the primary key of {from} alone"),
                    )
                    .with_hint(format!(
                        "changes of {from} come without their old rows, so the row that '{name}' had before would stay; use 'changelog-mode' = 'all'"
                    )),
                );
            }
        }
    }

    fn select(&mut self, query: &Query, show: SelectRows) {
        let routes = self.routes(query);
        self.sinks.push(SinkNode {
            id: "result".into(),
            sink: Arc::new(RowsSink::new(query.schema.clone(), self.zone, show)),
        });
        let sink = self.sinks.len() - 1;
        self.connect(routes, sink, None);
        self.plans.push(query.fingerprint());
    }

    /// The sources of a query's branches. Branches whose source could not be built are left out.
    fn routes<'q>(&mut self, query: &'q Query) -> Vec<(usize, &'q Branch)> {
        let routes: Vec<_> = query.branches.iter().filter_map(|branch| Some((self.source(branch)?, branch))).collect();
        for (source, branch) in &routes {
            if self.changelog(*source) == Changelog::Upsert
                && branch.chain.has_unnest()
                && let Input::Scan(scan) = &branch.input
            {
                let what = "UNNEST of a table whose updates come without their old rows";
                self.diagnostics.push(Diagnostic::unsupported(scan.table.span.clone(), what));
            }
        }
        routes
    }

    fn changelog(&self, source: usize) -> Changelog {
        self.sources[source].as_ref().map_or(Changelog::AppendOnly, |p| p.changelog)
    }

    /// `keep`: the columns of the chain's result that the sink takes.
    fn connect(&mut self, routes: Vec<(usize, &Branch)>, sink: usize, keep: Option<Vec<usize>>) {
        for (source, branch) in routes {
            let Some(pending) = &mut self.sources[source] else { continue };
            let columns = match &branch.input {
                Input::Scan(scan) if scan.columns != pending.wanted => {
                    let place = |c: &ScanColumn| pending.wanted.iter().position(|w| w == c).unwrap_or(0);
                    Some(scan.columns.iter().map(place).collect::<Arc<[usize]>>())
                }
                _ => None,
            };
            let chain = match pending.changelog {
                Changelog::Upsert => branch.chain.clone().of_upserts(),
                Changelog::AppendOnly | Changelog::Retract => branch.chain.clone(),
            };
            let (zone, seed, keep) = (self.zone, self.seed, keep.clone());
            let transform: TransformFactory = Arc::new(move || {
                let inner = ChainTransform { chain: chain.fork(), zone, seed, columns: columns.clone(), batches: 0 };
                match &keep {
                    None => Box::new(inner),
                    Some(keep) => Box::new(Keep { inner, columns: keep.clone() }),
                }
            });
            pending.node.outputs.push(Output { transform, sink });
        }
    }

    /// The connector a table names.
    fn connector(
        &mut self,
        table: &TableDef,
        options: &[TableOption],
    ) -> Option<&'static starweir_connectors::Connector> {
        let Some(name) = options.iter().rev().find(|o| o.key == "connector") else {
            self.diagnostics.push(
                Diagnostic::at(table.span.clone(), format!("table {} has no connector", table.path.name))
                    .with_hint("add 'connector' = '…' to its WITH options"),
            );
            return None;
        };
        let found = connector(&name.value);
        if found.is_none() {
            let known: Vec<&str> = connectors().iter().map(|c| c.name).collect();
            let mut diagnostic = Diagnostic::at(name.value_span.clone(), format!("unknown connector '{}'", name.value))
                .with_label("unknown connector");
            diagnostic.hint = Some(match nearest(&name.value, known.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("known connectors: {}", known.join(", ")),
            });
            self.diagnostics.push(diagnostic);
        }
        found
    }

    fn option_errors(&mut self, errors: Vec<OptionError>, options: &[TableOption], table: &TableDef) {
        let (missing, mut errors): (Vec<_>, Vec<_>) =
            errors.into_iter().partition(|e| e.message.contains("' is missing: "));
        if missing.len() > 1 {
            // One mistake, however many options it is about.
            let names: Vec<String> = missing.iter().map(|e| format!("'{}'", e.option)).collect();
            let message = format!("table {}: options {} are missing", table.path.name, names.join(", "));
            self.diagnostics.push(Diagnostic::at(name_place(table), message));
        } else {
            errors.extend(missing);
        }
        for error in errors {
            let given = options.iter().rev().find(|o| o.key == error.option);
            let span = match given {
                Some(option) if error.message.starts_with("unknown option") => option.key_span.clone(),
                Some(option) => option.value_span.clone(),
                None => name_place(table),
            };
            let message = match error.message.starts_with("table ") {
                true => error.message,
                false => format!("table {}: {}", table.path.name, error.message),
            };
            let mut diagnostic = Diagnostic::at(span, message);
            diagnostic.hint = error.hint;
            self.diagnostics.push(diagnostic);
        }
    }

    fn finish(mut self) -> Result<BuiltJob, Vec<Diagnostic>> {
        if !self.diagnostics.is_empty() {
            self.diagnostics.sort_by_key(|d| d.span.as_ref().map_or(0, |s| s.start));
            self.diagnostics.dedup();
            return Err(self.diagnostics);
        }
        let sources: Vec<SourceNode> = self.sources.into_iter().flatten().map(|p| p.node).collect();
        let bounded = sources.iter().all(|s| s.source.is_bounded());
        let graph = JobGraph { name: self.name.to_owned(), sources, sinks: self.sinks, plans: self.plans };
        Ok(BuiltJob { graph, targets: self.targets, bounded })
    }
}

/// Leaves columns out of a chain's result.
struct Keep {
    inner: ChainTransform,
    columns: Vec<usize>,
}

impl starweir_engine::Transform for Keep {
    fn apply(
        &mut self,
        now_ms: i64,
        batch: starweir_model::ChangeBatch,
    ) -> starweir_model::Result<starweir_model::ChangeBatch> {
        let mut batch = self.inner.apply(now_ms, batch)?;
        batch.batch = batch.batch.project(&self.columns).map_err(|e| {
            starweir_model::Error::internal("a query gave fewer columns than it promised").with_source(e)
        })?;
        Ok(batch)
    }
}

/// The columns an INSERT writes when it names them; None for all. The order is the table's.
fn kept_columns(named: &[usize], full: &Schema) -> Option<Vec<usize>> {
    if named.is_empty() || named.len() == full.columns.len() {
        return None;
    }
    let mut kept = named.to_vec();
    kept.sort_unstable();
    Some(kept)
}

fn plain(options: &[TableOption]) -> Vec<(String, String)> {
    options.iter().filter(|o| o.key != "connector").map(|o| (o.key.clone(), o.value.clone())).collect()
}

fn value_place(options: &[TableOption], key: &str, table: &TableDef) -> starweir_sql::Span {
    options.iter().rev().find(|o| o.key == key).map_or_else(|| table.span.clone(), |o| o.value_span.clone())
}

/// The first line of a table's statement: enough to say which table is meant.
fn name_place(table: &TableDef) -> starweir_sql::Span {
    table.options.first().map_or_else(|| table.span.clone(), |o| o.key_span.clone())
}
