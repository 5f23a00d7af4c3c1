//! A script's statements carried out in order, up to the jobs they ask for.

use std::collections::BTreeMap;

use starweir_sql::{Diagnostic, Insert, Outcome, Query, Session, Statement, ast::StatementKind, parse_script};

use crate::overrides::{LocalTarget, Overrides};
use crate::settings::{Checked, JobSettings, check};

/// A compiled script: what to print and what to run, in order.
pub struct Script {
    pub text: String,
    pub stages: Vec<Stage>,
    pub overrides: Overrides,
    /// Settings accepted without effect, once each: key and why.
    pub notes: Vec<(String, String)>,
}

/// One thing a script asks for, with the settings it was asked under.
pub struct Stage {
    pub kind: StageKind,
    pub settings: JobSettings,
    /// The statements in the script.
    pub span: starweir_sql::Span,
}

pub enum StageKind {
    /// One job: consecutive INSERTs and statement sets.
    Inserts(Vec<Insert>),
    Select(Query),
    /// The answer of SHOW, DESCRIBE.
    Rows {
        columns: Vec<String>,
        rows: Vec<Vec<String>>,
    },
    /// The answer of EXPLAIN.
    Text(String),
}

impl Script {
    /// Parses and plans everything. `settings` are `--set key=value`, which win over the script.
    ///
    /// # Errors
    /// Everything that is wrong, with its places: all statements are looked at even when one is wrong.
    pub fn compile(
        text: &str,
        settings: &[(String, String)],
        local: Option<LocalTarget>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let statements = parse_script(text)?;
        let mut session = Session::new();
        let mut overrides = Overrides::new(local);
        let mut diagnostics = Vec::new();
        let mut notes: BTreeMap<String, String> = BTreeMap::new();
        let mut stages: Vec<Stage> = Vec::new();

        let tables = created_tables(&statements);
        let mut fixed: Vec<(String, String)> = Vec::new();
        for (key, value) in settings {
            match overrides.set(key, value, &tables) {
                Ok(true) => {}
                Ok(false) => {
                    match check(key, value) {
                        Checked::Fine => {}
                        Checked::Note(why) => {
                            notes.insert(key.clone(), why);
                        }
                        Checked::Wrong(message, hint) => {
                            let mut diagnostic = Diagnostic::plain(format!("--set {key}: {message}"));
                            diagnostic.hint = hint;
                            diagnostics.push(diagnostic);
                        }
                    }
                    session.set(key, value);
                    fixed.push((key.clone(), value.clone()));
                }
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
        }

        // Inserts that follow one another are one job, so that a source they share is read once.
        let mut joining = false;
        for statement in &statements {
            let outcome = match session.execute(statement) {
                Ok(outcome) => outcome,
                Err(found) => {
                    diagnostics.extend(found);
                    continue;
                }
            };
            let span = statement.span.clone();
            let stage = |kind, session: &Session| Stage {
                kind,
                settings: JobSettings::from_session(session.settings()),
                span: span.clone(),
            };
            match outcome {
                Outcome::Done(_) => {}
                Outcome::Set { key, value } => {
                    match check(&key, &value) {
                        Checked::Fine => {}
                        Checked::Note(why) => {
                            notes.insert(key.clone(), why);
                        }
                        Checked::Wrong(message, hint) => {
                            let mut diagnostic = Diagnostic::at(span.clone(), message);
                            diagnostic.hint = hint;
                            diagnostics.push(diagnostic);
                        }
                    }
                    for (key, value) in &fixed {
                        session.set(key, value);
                    }
                    joining = false;
                }
                Outcome::Reset { .. } => {
                    for (key, value) in &fixed {
                        session.set(key, value);
                    }
                    joining = false;
                }
                Outcome::ShowSettings(list) => {
                    let rows = list.into_iter().map(|(k, v)| vec![k, v]).collect();
                    stages.push(stage(StageKind::Rows { columns: vec!["key".into(), "value".into()], rows }, &session));
                }
                Outcome::Rows { columns, rows } => stages.push(stage(StageKind::Rows { columns, rows }, &session)),
                Outcome::Explain(explained) => stages.push(stage(StageKind::Text(explained.text()), &session)),
                Outcome::Select(query) => {
                    stages.push(stage(StageKind::Select(query), &session));
                    joining = false;
                }
                Outcome::Inserts(more) => match stages.last_mut() {
                    Some(Stage { kind: StageKind::Inserts(inserts), span: whole, .. }) if joining => {
                        inserts.extend(more);
                        whole.end = span.end;
                    }
                    _ => {
                        stages.push(stage(StageKind::Inserts(more), &session));
                        joining = true;
                    }
                },
                Outcome::CreateDatabaseAs { span, .. } => {
                    diagnostics.push(Diagnostic::unsupported(span, "CREATE DATABASE … AS DATABASE"));
                }
            }
        }
        let key_of = |d: &Diagnostic| d.span.as_ref().map_or(0, |s| s.start);
        diagnostics.sort_by_key(key_of);
        diagnostics.dedup();
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        Ok(Self { text: text.to_owned(), stages, overrides, notes: notes.into_iter().collect() })
    }

    /// The jobs in it.
    pub fn jobs(&self) -> usize {
        self.stages.iter().filter(|s| matches!(s.kind, StageKind::Inserts(_) | StageKind::Select(_))).count()
    }
}

/// Names of the tables a script creates, so that `--set orders.…` can be told from a setting.
fn created_tables(statements: &[Statement]) -> Vec<String> {
    let mut names: Vec<String> = statements
        .iter()
        .filter_map(|s| match &s.kind {
            StatementKind::CreateTable(table) => Some(table.name.last().to_owned()),
            _ => None,
        })
        .collect();
    // The longest first: `a.b` must not be taken for option `b` of `a` when a table `a.b` exists.
    names.sort_by_key(|n| std::cmp::Reverse(n.len()));
    names
}
