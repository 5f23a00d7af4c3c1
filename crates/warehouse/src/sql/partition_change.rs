//! Partitions that go: DROP PARTITION, REPLACE PARTITION, and those whose time is over.
//!
//! A partition is a condition on its table's rows. The rows of a temporary partition must not be seen through the
//! table, so they lie in a hidden table of their own until REPLACE PARTITION moves them over.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::{dml, partition, partition_condition};
use crate::catalog::{PartitionDef, PartitionKind, PartitionRange, TableDef};
use crate::core::{Core, Recycled};
use crate::error::{SqlError, SqlResult};
use crate::store::{HIDDEN, Store, Table, TableVersion};

/// Partitions of these names.
pub async fn drop_partitions(
    core: &Arc<Core>,
    table: &Arc<Table>,
    names: Vec<String>,
    if_exists: bool,
    temporary: bool,
    force: bool,
) -> SqlResult<()> {
    let def = table.def();
    let mut found: Vec<PartitionDef> = Vec::new();
    for n in names {
        match def.partitions.iter().find(|p| p.name.eq_ignore_ascii_case(&n) && p.temporary == temporary) {
            Some(p) => found.push(p.clone()),
            None if if_exists => {}
            None => return Err(SqlError::new(1507, format!("Error in list of partitions to {n}"))),
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    for p in &found {
        if temporary {
            forget_rows(core, &def, p)?;
        } else if !force {
            let database = core.store.database_id(&def.database).unwrap_or(0);
            core.recycle(Recycled::partition(&def, database, p));
        }
    }
    if !temporary {
        let names: Vec<String> = found.iter().map(|p| p.name.clone()).collect();
        let condition = partition::selection(&def, &names)?;
        dml::delete_where(core.clone(), table.clone(), condition).await?;
    }
    core.store.alter_table(
        table.id,
        |def| {
            def.partitions.retain(|p| !found.iter().any(|f| f.id == p.id));
            Ok(())
        },
        None,
    )?;
    Ok(())
}

/// Puts temporary partitions in the place of others.
pub async fn replace_partitions(
    core: &Arc<Core>,
    table: &Arc<Table>,
    old: &[String],
    temporary: &[String],
    properties: &[(String, String)],
) -> SqlResult<()> {
    let def = table.def();
    let find = |names: &[String], temporary: bool| -> SqlResult<Vec<PartitionDef>> {
        let one = |n: &String| {
            let found = def.partitions.iter().find(|p| p.name.eq_ignore_ascii_case(n) && p.temporary == temporary);
            let kind = if temporary { "Temp partition" } else { "Partition" };
            found.cloned().ok_or_else(|| SqlError::plain(format!("{kind}[{n}] does not exist")))
        };
        names.iter().map(one).collect()
    };
    let (gone, new) = (find(old, false)?, find(temporary, true)?);
    let is = |name: &str, default: bool| {
        let given = properties.iter().find(|(k, _)| k.trim().eq_ignore_ascii_case(name));
        given.map_or(
            default,
            |(_, v)| if default { !v.eq_ignore_ascii_case("false") } else { v.eq_ignore_ascii_case("true") },
        )
    };
    let ranges = |parts: &[PartitionDef]| {
        let mut all: Vec<String> = parts.iter().map(|p| partition::condition(&def, p)).collect();
        all.sort();
        all
    };
    if is("strict_range", true) && ranges(&gone) != ranges(&new) {
        return Err(SqlError::plain("2 range lists are not stricly matched"));
    }
    let mut rows: Vec<RecordBatch> = Vec::new();
    for p in &new {
        if let Some(hidden) = core.store.table(&def.database, &hidden_name(&def, p)) {
            rows.extend(all_rows_of(&hidden.version())?);
        }
    }
    let names: Vec<String> = gone.iter().map(|p| p.name.clone()).collect();
    let condition = partition::selection(&def, &names)?;
    let database_id = core.store.database_id(&def.database).ok_or_else(|| SqlError::unknown_database(&def.database))?;
    let label = format!("replace_partition_{}", uuid::Uuid::new_v4());
    let txn = core
        .store
        .begin(core.store.new_txn(database_id, &def.database, &label, "INSERT"))
        .map_err(|_| SqlError::plain("the label of a partition's replacement is in use"))?;
    let (worker, target) = (core.clone(), table.clone());
    dml::blocking(move || {
        for batch in &rows {
            worker.stage(txn, target.id, batch, None, None, false)?;
        }
        let pick = |version: &TableVersion| {
            dml::matching_rows(&worker, version, &condition).map_err(starweir_model::Error::from)
        };
        worker.store.commit_replacing(txn, Some((target.id, &pick)))?;
        Ok(())
    })
    .await?;
    let keep_names = gone.len() == new.len() && !is("use_temp_partition_name", false);
    core.store.alter_table(
        table.id,
        |def| {
            def.partitions.retain(|p| !gone.iter().any(|g| g.id == p.id));
            for p in &mut def.partitions {
                let Some(at) = new.iter().position(|n| n.id == p.id) else { continue };
                p.temporary = false;
                if keep_names {
                    p.name.clone_from(&gone[at].name);
                }
            }
            Ok(())
        },
        None,
    )?;
    for p in &new {
        forget_rows(core, &def, p)?;
    }
    Ok(())
}

/// Drops the partitions that `partition_retention_condition` keeps no longer.
pub async fn drop_expired(core: &Arc<Core>, table: &Arc<Table>) -> SqlResult<()> {
    let def = table.def();
    let Some(text) = def.properties.get("partition_retention_condition").filter(|t| !t.trim().is_empty()) else {
        return Ok(());
    };
    let over = super::parser::parse_expression(&format!("NOT ({text})"))?;
    let names = partition_condition::matching(core, &def, &over, false)?;
    drop_partitions(core, table, names, true, false, true).await
}

fn hidden_name(def: &TableDef, p: &PartitionDef) -> String {
    format!("{HIDDEN}{}{HIDDEN}{}", def.id, p.id)
}

/// The table that holds a temporary partition's rows; it is made with the first of them.
pub fn rows_of_temporary(store: &Store, def: &TableDef, p: &PartitionDef) -> SqlResult<Arc<Table>> {
    let name = hidden_name(def, p);
    if let Some(found) = store.table(&def.database, &name) {
        return Ok(found);
    }
    let mut hidden = def.clone();
    hidden.id = store.next_id();
    hidden.partition_by = None;
    hidden.partitions = vec![PartitionDef {
        id: store.next_id(),
        name: name.clone(),
        range: PartitionRange::Whole,
        temporary: false,
        automatic: false,
    }];
    hidden.name = name;
    Ok(store.create_table(hidden)?)
}

/// The table as it would be with this temporary partition only: what INSERT checks rows against.
pub fn with_only(def: &TableDef, p: &PartitionDef) -> TableDef {
    let mut only = def.clone();
    only.partitions = vec![PartitionDef { temporary: false, ..p.clone() }];
    if let Some(by) = &mut only.partition_by {
        // Its rows make no new partitions.
        by.kind = if by.kind == PartitionKind::Expression { PartitionKind::List } else { by.kind };
    }
    only
}

fn forget_rows(core: &Core, def: &TableDef, p: &PartitionDef) -> SqlResult<()> {
    if let Some(hidden) = core.store.table(&def.database, &hidden_name(def, p)) {
        core.store.drop_table(hidden.id)?;
    }
    Ok(())
}

/// A table goes: so do the rows of its temporary partitions.
pub fn forget_temporary(core: &Core, def: &TableDef) -> SqlResult<()> {
    def.partitions.iter().filter(|p| p.temporary).try_for_each(|p| forget_rows(core, def, p))
}

/// All rows in the form segments have.
fn all_rows_of(version: &TableVersion) -> SqlResult<Vec<RecordBatch>> {
    let def = &version.def;
    let schema = super::provider::planning_schema(def);
    let all: Vec<usize> = (0..def.columns.len()).collect();
    let mut out = Vec::new();
    for view in &version.segments {
        let batch = crate::store::table::read_rows(view, def, &schema, &all, 0, view.segment.rows())?;
        let fields: Vec<_> = def.columns.iter().map(|c| c.sql_type.field(&c.stored_name(), true)).collect();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        out.push(RecordBatch::try_new(schema, batch.columns().to_vec())?);
    }
    Ok(out)
}
