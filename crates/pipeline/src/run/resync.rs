//! Reads tables again from their beginning while the others go on.
//!
//! The order is what makes it safe to die anywhere: the sink tables are emptied, then the state says that the source
//! tables were never read, then the request is taken away. Before the second step a restart empties them again; after
//! it, it reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Instant;

use starweir_engine::requests::{self, Request, Waiting};
use starweir_model::{Error, Result, SchemaChange, TableId};

use super::Running;

/// Source tables with the sink tables they go to.
type Targets = BTreeMap<TableId, BTreeSet<TableId>>;

/// The source tables that have to be read with the one asked for, and the sink tables to empty: whoever shares a sink
/// table has to fill it again.
fn affected(asked: &TableId, targets: &Targets) -> (BTreeSet<TableId>, BTreeSet<TableId>) {
    let (mut sources, mut sinks) = (BTreeSet::from([asked.clone()]), BTreeSet::new());
    loop {
        let before = (sources.len(), sinks.len());
        for source in &sources {
            sinks.extend(targets.get(source).into_iter().flatten().cloned());
        }
        for (source, to) in targets {
            if !to.is_disjoint(&sinks) {
                sources.insert(source.clone());
            }
        }
        if before == (sources.len(), sinks.len()) {
            return (sources, sinks);
        }
    }
}

impl Running<'_> {
    /// Carries out the first thing the job is asked for. Called between source transactions.
    ///
    /// # Errors
    /// Kind `Unavailable` when it is done and changed the state: the attempt has to begin anew from it.
    pub(super) async fn carry_out_request(&mut self) -> Result<()> {
        let Some(folder) = self.protocol.store.requests() else { return Ok(()) };
        let Some(request) = requests::waiting(&folder)?.into_iter().next() else { return Ok(()) };
        let Some(what) = self.resync(request).await? else { return Ok(()) };
        self.state_changed.store(true, Ordering::Release);
        Err(Error::unavailable(what))
    }

    /// What was done, in words; None when there was nothing to do.
    async fn resync(&mut self, waiting: Waiting) -> Result<Option<String>> {
        let Request::Resync(names) = &waiting.request;
        let targets = self.targets()?;
        let note = self.protocol.options.note.clone();
        let (mut sources, mut sinks) = (BTreeSet::new(), BTreeSet::new());
        for name in names {
            match name.parse::<TableId>() {
                Ok(table) if targets.contains_key(&table) => {
                    let (more_sources, more_sinks) = affected(&table, &targets);
                    sources.extend(more_sources);
                    sinks.extend(more_sinks);
                }
                _ => note(format!("resync: the pipeline reads no table {name}")),
            }
        }
        if sources.is_empty() {
            waiting.done()?;
            return Ok(None);
        }
        let state = self.reader.state()?;
        self.end_epoch(state, false).await?;
        let sources: Vec<TableId> = sources.into_iter().collect();
        let unread = match self.job.source.unread(&self.position, &sources) {
            Ok(unread) => unread,
            Err(error) => {
                note(format!("resync: {}", error.chain()));
                waiting.done()?;
                return Ok(None);
            }
        };
        for table in &sinks {
            self.close(table).await;
            self.job.sink.apply(&SchemaChange::TruncateTable { table: table.clone() }, None).await?;
        }
        let manifest = self.manifest(self.epoch, &unread, BTreeMap::new(), false)?;
        self.protocol.commit_epoch(&manifest, Instant::now(), async {}).await?;
        waiting.done()?;
        let texts =
            |tables: &mut dyn Iterator<Item = &TableId>| tables.map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Ok(Some(format!("reading {} again into {}", texts(&mut sources.iter()), texts(&mut sinks.iter()))))
    }

    fn targets(&mut self) -> Result<Targets> {
        let sources: Vec<TableId> = self.flow.state().upstream.keys().cloned().collect();
        let mut targets = Targets::new();
        for source in sources {
            let sinks = self.flow.operator().targets(&source)?.into_iter().map(|(sink, _)| sink).collect();
            targets.insert(source, sinks);
        }
        Ok(targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_shares_a_sink_table_is_read_again() {
        let id = |name: &str| TableId::in_schema("d", name);
        let set = |names: &[&str]| names.iter().map(|n| id(n)).collect::<BTreeSet<_>>();
        let targets: Targets = [
            ("shard_1", set(&["all"])),
            ("shard_2", set(&["all", "copy"])),
            ("other", set(&["copy"])),
            ("alone", set(&["alone"])),
            ("nowhere", set(&[])),
        ]
        .into_iter()
        .map(|(name, to)| (id(name), to))
        .collect();
        for (asked, sources, sinks) in [
            ("alone", &["alone"][..], &["alone"][..]),
            ("shard_1", &["shard_1", "shard_2", "other"], &["all", "copy"]),
            ("other", &["shard_1", "shard_2", "other"], &["all", "copy"]),
            ("nowhere", &["nowhere"], &[]),
        ] {
            assert_eq!(affected(&id(asked), &targets), (set(sources), set(sinks)), "{asked}");
        }
    }
}
