//! Schema evolution: what a change of a source table's shape does to the sink tables it feeds.
//!
//! [`SchemaOperator`] is the whole of it; the modules are its pure parts. Flink CDC: `SchemaDerivator`,
//! `SchemaCoordinator`, `SchemaMergingUtils`.

pub mod coerce;
mod operator;
pub mod schema;
pub mod types;

pub use operator::{SchemaOperator, SchemaState, normalize};

use starweir_model::SchemaChangeKind;

/// `schema.change.behavior`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaChangeBehavior {
    /// Any change after creation fails the job.
    Exception,
    /// Changes are applied as they are; one that cannot be applied fails the job.
    Evolve,
    /// Changes are applied; one that the sink does not support is left out and later rows take the sink's shape.
    TryEvolve,
    /// Columns are only added: a rename adds, a drop relaxes NOT NULL; types change as they come.
    #[default]
    Lenient,
    /// Only tables are created.
    Ignore,
}

impl SchemaChangeBehavior {
    pub const NAMES: [&'static str; 5] = ["EXCEPTION", "EVOLVE", "TRY_EVOLVE", "LENIENT", "IGNORE"];

    /// By its name in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Exception, Self::Evolve, Self::TryEvolve, Self::Lenient, Self::Ignore]
            .into_iter()
            .zip(Self::NAMES)
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(behavior, _)| behavior)
    }
}

/// What an include or exclude entry stands for: a kind (`add.column`), or a family (`drop`, `column`, `table`, `all`).
/// Unknown names stand for nothing.
pub fn resolve_tag(tag: &str) -> Vec<SchemaChangeKind> {
    use SchemaChangeKind as K;
    match tag {
        "add" => vec![K::AddColumn],
        "alter" => vec![K::AlterColumnType],
        "create" => vec![K::CreateTable],
        "drop" => vec![K::DropColumn, K::DropTable],
        "rename" => vec![K::RenameColumn],
        "table" => vec![K::CreateTable, K::DropTable, K::TruncateTable, K::AlterTableComment],
        "column" => vec![K::AddColumn, K::AlterColumnType, K::DropColumn, K::RenameColumn],
        "all" => vec![
            K::AddColumn,
            K::AlterColumnType,
            K::CreateTable,
            K::DropColumn,
            K::DropTable,
            K::RenameColumn,
            K::TruncateTable,
            K::AlterTableComment,
        ],
        _ => K::ALL.into_iter().filter(|kind| kind.tag() == tag).collect(),
    }
}

/// The kinds that an include list (empty: all) lets through and an exclude list does not take back, in the order of
/// the include list.
pub fn resolve_tags(include: &[String], exclude: &[String]) -> Vec<SchemaChangeKind> {
    let mut kinds = Vec::new();
    if include.is_empty() {
        kinds = resolve_tag("all");
    }
    for kind in include.iter().flat_map(|tag| resolve_tag(tag)) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let excluded: Vec<_> = exclude.iter().flat_map(|tag| resolve_tag(tag)).collect();
    kinds.retain(|kind| !excluded.contains(kind));
    kinds
}
