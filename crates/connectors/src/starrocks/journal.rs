//! Exactly once without prepared transactions: rows and their labels are kept in the state directory until visible.
//!
//! An epoch's rows go to files as they come; `prepare` makes them durable, the manifest names them, `commit` loads
//! each file under its label and removes it. After any doubt the label is asked about; rows that the server does not
//! have are sent again under the same label.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use starweir_engine::{Chunk, SinkContext, Token, TokenState, Writer};
use starweir_model::{Clock, Epoch, Error, Label, Result, TableName};
use starweir_starrocks::{Body, LabelState, LoadRequest};

use super::labels::Labels;
use super::sink::{Shared, SinkToken};

/// StarRocks forgets labels of finished loads after this time at the latest (`label_keep_max_second`, 3 days). Beyond
/// half of it "unknown" may mean "done and forgotten".
const LABEL_TRUSTED_MS: i64 = 36 * 3_600_000;

/// Bytes of a journal file: one Stream Load.
const FILE_BYTES: u64 = 64 << 20;

/// A journal file in a manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct JournalToken {
    pub label: Label,
    /// Name within the journal folder.
    pub file: String,
    pub rows: u64,
    pub upserts: u64,
    pub deletes: u64,
    pub bytes: u64,
    pub written_ms: i64,
    pub headers: Vec<(String, String)>,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let text = format!("journal {}", path.display());
    move |e| Error::internal(text).with_source(e)
}

fn folder(context: &SinkContext) -> Result<PathBuf> {
    context.journal.clone().ok_or_else(|| {
        Error::user("exactly-once with 'sink.version' = 'V1' keeps rows in the state directory, which must be local")
            .with_hint("use --state DIR, or V2, whose prepared transactions need no journal")
    })
}

/// What a file belongs to, so that files of other tables are left alone.
fn file_stem(table: &TableName) -> String {
    let clean = |text: &str| -> String {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("_{b:02x}") })
            .collect()
    };
    let stem = format!("{}.{}", clean(&table.database), clean(&table.table));
    stem.chars().take(150).collect()
}

struct OpenFile {
    path: PathBuf,
    file: std::fs::File,
    token: JournalToken,
}

pub(super) struct JournalWriter {
    shared: Arc<Shared>,
    labels: Labels,
    folder: PathBuf,
    generation: u64,
    clock: Arc<dyn Clock>,
    headers: Vec<(String, String)>,
    epoch: Epoch,
    open: Option<OpenFile>,
    full: Vec<OpenFile>,
}

impl JournalWriter {
    pub(super) fn new(
        shared: Arc<Shared>,
        context: &SinkContext,
        epoch: Epoch,
        headers: Vec<(String, String)>,
    ) -> Result<Self> {
        Ok(Self {
            labels: shared.labels(context),
            folder: folder(context)?,
            shared,
            generation: context.generation,
            clock: context.clock.clone(),
            headers,
            epoch,
            open: None,
            full: Vec::new(),
        })
    }

    fn open_file(&mut self) -> Result<OpenFile> {
        let part = self.full.len();
        let name =
            format!("{}-e{}-p{part}-g{}.load", file_stem(&self.shared.options.table), self.epoch, self.generation);
        let path = self.folder.join(&name);
        let file = std::fs::File::create(&path).map_err(failed(&path))?;
        let token = JournalToken {
            label: self.labels.of_journal(self.epoch, part, self.generation),
            file: name,
            rows: 0,
            upserts: 0,
            deletes: 0,
            bytes: 0,
            written_ms: self.clock.now_ms(),
            headers: self.headers.clone(),
        };
        Ok(OpenFile { path, file, token })
    }
}

#[async_trait]
impl Writer for JournalWriter {
    async fn write(&mut self, chunk: Chunk) -> Result<()> {
        if chunk.rows == 0 {
            return Ok(());
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_file()?,
        };
        open.file.write_all(&chunk.bytes).map_err(failed(&open.path))?;
        open.token.rows += chunk.rows;
        open.token.upserts += chunk.upserts;
        open.token.deletes += chunk.deletes;
        open.token.bytes += chunk.bytes.len() as u64;
        if open.token.bytes >= FILE_BYTES {
            self.full.push(open)
        } else {
            self.open = Some(open)
        }
        Ok(())
    }

    async fn prepare(&mut self, epoch: Epoch) -> Result<Vec<Token>> {
        self.full.extend(self.open.take());
        let files = std::mem::take(&mut self.full);
        self.epoch = if files.is_empty() { epoch } else { epoch.next() };
        let mut tokens = Vec::with_capacity(files.len());
        for file in files {
            file.file.sync_all().map_err(failed(&file.path))?;
            tokens.push(SinkToken::Journal(file.token).text()?);
        }
        if !tokens.is_empty() {
            std::fs::File::open(&self.folder).and_then(|f| f.sync_all()).map_err(failed(&self.folder))?;
        }
        Ok(tokens)
    }
}

/// What became of a journal file's rows. `keyed`: sending them twice does no harm.
pub(super) async fn inspect(
    shared: &Shared,
    context: &SinkContext,
    token: &JournalToken,
    keyed: bool,
) -> Result<TokenState> {
    let state = shared.client.resolve_label(&shared.options.table, &token.label, &shared.policy()).await?;
    let kept = folder(context)?.join(&token.file).is_file();
    let age_ms = context.clock.now_ms() - token.written_ms;
    Ok(decide_token(state, kept, age_ms, keyed))
}

/// The decision behind [`inspect`].
fn decide_token(state: LabelState, kept: bool, age_ms: i64, keyed: bool) -> TokenState {
    match (state, kept) {
        (LabelState::Committed | LabelState::Visible, _) => TokenState::Committed,
        // The file is removed only after the rows are visible.
        (LabelState::Unknown, false) => TokenState::Committed,
        (LabelState::Unknown, true) if !keyed && age_ms > LABEL_TRUSTED_MS => TokenState::Unknown,
        // A load of an earlier attempt may still run; sending under its label waits for it.
        (_, true) => TokenState::Resendable,
        (LabelState::Aborted | LabelState::Prepare | LabelState::Prepared, false) => TokenState::Unknown,
    }
}

/// Loads a journal file under its label and removes it.
pub(super) async fn commit(shared: &Shared, context: &SinkContext, token: &JournalToken) -> Result<()> {
    let path = folder(context)?.join(&token.file);
    let bytes = match tokio::fs::read(&path).await {
        Ok(bytes) => bytes,
        // Committed before, then removed.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(&path)(e)),
    };
    if bytes.len() as u64 != token.bytes {
        return Err(Error::internal(format!(
            "journal {} has {} bytes instead of {}",
            path.display(),
            bytes.len(),
            token.bytes
        )));
    }
    let request = LoadRequest {
        table: shared.options.table.clone(),
        label: token.label.clone(),
        headers: token.headers.clone(),
        body: Body::new(vec![bytes.into()]),
    };
    let resolved = shared.client.resolve_load(&request, &shared.policy()).await.map_err(|e| shared.rejected(e))?;
    shared.flows();
    shared.count_attempts(resolved.attempts);
    shared.counters.add_load(token.rows, token.upserts, token.deletes, token.bytes);
    shared.counters.add_transaction(token.rows, context.clock.now_ms());
    std::fs::remove_file(&path).map_err(failed(&path))
}

/// Gives a journal file up.
pub(super) fn discard(context: &SinkContext, token: &JournalToken) -> Result<()> {
    match std::fs::remove_file(folder(context)?.join(&token.file)) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::internal(format!("journal file {}", token.file)).with_source(e)),
    }
}

/// Removes files of earlier attempts that no manifest names: everything of this table, because recovery has
/// committed what the manifest named.
pub(super) fn sweep(context: &SinkContext, table: &TableName) -> Result<()> {
    let folder = folder(context)?;
    let start = format!("{}-e", file_stem(table));
    for entry in std::fs::read_dir(&folder).map_err(failed(&folder))? {
        let entry = entry.map_err(failed(&folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&start) && name.ends_with(".load") {
            std::fs::remove_file(entry.path()).map_err(failed(&entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_file_is_sent_again_unless_its_label_may_be_forgotten() {
        use LabelState::{Aborted, Committed, Prepare, Prepared, Unknown, Visible};
        let old = LABEL_TRUSTED_MS + 1;
        let rows = [
            (Visible, true, 0, false, TokenState::Committed),
            (Committed, false, old, false, TokenState::Committed),
            (Unknown, true, 0, false, TokenState::Resendable),
            (Unknown, true, old, true, TokenState::Resendable),
            (Unknown, true, old, false, TokenState::Unknown),
            (Unknown, false, old, false, TokenState::Committed),
            (Aborted, true, old, false, TokenState::Resendable),
            (Prepare, true, 0, false, TokenState::Resendable),
            (Prepared, true, 0, true, TokenState::Resendable),
            (Aborted, false, 0, false, TokenState::Unknown),
        ];
        for (state, kept, age_ms, keyed, expected) in rows {
            assert_eq!(decide_token(state, kept, age_ms, keyed), expected, "{state:?} {kept} {age_ms} {keyed}");
        }
    }

    #[test]
    fn file_names_of_different_tables_differ() {
        let stem = |d: &str, t: &str| file_stem(&TableName::new(d, t));
        assert_ne!(stem("a", "b_c"), stem("a_b", "c"));
        assert_ne!(stem("a", "é"), stem("a", "e"));
    }
}
