//! Where manifests live: a local directory or an object store.
//!
//! ```text
//! <state>/FORMAT                       starweir-state 1
//! <state>/lock                         held by the running process (local only)
//! <state>/job.json                     {"job_id", "name"}: made once
//! <state>/generations/0000000003       one empty file per attempt, claimed before its first label
//! <state>/epochs/0000000012.json       manifests; the last few are kept
//! <state>/journal/                     rows that wait to become visible (journal delivery, local only)
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use starweir_model::{Epoch, Error, Result};

use crate::manifest::Manifest;

/// Manifests kept besides the newest, so that an epoch whose transactions the server gave up can be read again.
const MANIFESTS_KEPT: usize = 3;
const FORMAT_TEXT: &str = "starweir-state 1\n";

/// The identity of a job's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Part of every label, so that two state directories never share one.
    pub job_id: String,
    pub name: String,
}

/// Durable storage of one job's epochs. Each write is atomic and durable when it returns.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// The job's record; written with this id and name if there was none.
    async fn open(&self, new_job_id: &str, name: &str) -> Result<JobRecord>;

    /// Gives the job a new id, so that its labels have nothing to do with those it had.
    async fn rename(&self, record: &JobRecord) -> Result<()>;

    /// Claims the number of a new attempt, larger than any before.
    async fn claim_generation(&self) -> Result<u64>;

    /// The kept manifests, newest first.
    async fn manifests(&self) -> Result<Vec<Manifest>>;

    /// Writes a manifest. Fails if one of this epoch exists: another process writes here too.
    async fn write(&self, manifest: &Manifest) -> Result<()>;

    /// Removes the newest manifest, to go back to the one before.
    async fn remove(&self, epoch: Epoch) -> Result<()>;

    /// Removes manifests older than the ones worth keeping.
    async fn prune(&self, newest: Epoch) -> Result<()>;

    /// A durable local folder for journals, if there is one.
    fn journal(&self) -> Option<PathBuf>;

    /// A local folder for [`crate::requests`], if there is one.
    fn requests(&self) -> Option<PathBuf> {
        None
    }

    /// Where it is, in words.
    fn describe(&self) -> String;
}

/// A local directory, locked for this process.
pub struct LocalStore {
    directory: PathBuf,
    /// Held until drop; the operating system lets go of it when the process dies.
    _lock: std::fs::File,
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    let what = what.into();
    move |e| Error::internal(what).with_source(e)
}

impl LocalStore {
    /// Opens or makes the directory. Fails when another process has it, or when it holds something else.
    pub fn open(directory: &Path) -> Result<Self> {
        let shown = directory.display();
        let make = || -> std::io::Result<()> {
            for part in ["epochs", "generations", "journal"] {
                std::fs::create_dir_all(directory.join(part))?;
            }
            Ok(())
        };
        make().map_err(|e| Error::user(format!("state directory {shown} cannot be made")).with_source(e))?;
        let lock = std::fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("lock"))
            .map_err(io(format!("state directory {shown} cannot be locked")))?;
        lock.try_lock().map_err(|_| {
            Error::user(format!("state directory {shown} is used by another process"))
                .with_hint("stop the other job, or give this one its own --state")
        })?;
        let format = directory.join("FORMAT");
        match std::fs::read_to_string(&format) {
            Ok(text) if text == FORMAT_TEXT => {}
            Ok(text) => {
                return Err(Error::user(format!(
                    "state directory {shown} is of another kind or version: {:?}",
                    text.trim()
                ))
                .with_hint("use the version of starweir that wrote it"));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => write_atomically(&format, FORMAT_TEXT.as_bytes())?,
            Err(e) => return Err(io(format!("{} cannot be read", format.display()))(e)),
        }
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    fn epoch_path(&self, epoch: Epoch) -> PathBuf {
        self.directory.join("epochs").join(format!("{:010}.json", epoch.0))
    }

    /// Numbers of the files in a folder, largest first.
    fn numbers(&self, folder: &str) -> Result<Vec<u64>> {
        let path = self.directory.join(folder);
        let entries = std::fs::read_dir(&path).map_err(io(format!("{} cannot be listed", path.display())))?;
        let mut numbers: Vec<u64> = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io(format!("{} cannot be listed", path.display())))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if let Ok(number) = name.trim_end_matches(".json").parse() {
                numbers.push(number);
            }
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }
}

/// Writes a file so that after a crash it is there whole or not at all: temporary file, fsync, rename, fsync of the
/// folder.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let write = || -> std::io::Result<()> {
        let temporary = path.with_extension("tmp");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        if let Some(folder) = path.parent() {
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(io(format!("{} cannot be written", path.display())))
}

#[async_trait]
impl CheckpointStore for LocalStore {
    async fn open(&self, new_job_id: &str, name: &str) -> Result<JobRecord> {
        let path = self.directory.join("job.json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| Error::internal(format!("{} is damaged", path.display())).with_source(e)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let record = JobRecord { job_id: new_job_id.into(), name: name.into() };
                self.rename(&record).await?;
                Ok(record)
            }
            Err(e) => Err(io(format!("{} cannot be read", path.display()))(e)),
        }
    }

    async fn rename(&self, record: &JobRecord) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(|e| Error::internal("job.json").with_source(e))?;
        write_atomically(&self.directory.join("job.json"), &text)
    }

    async fn claim_generation(&self) -> Result<u64> {
        let taken = self.numbers("generations")?;
        let next = taken.first().copied().unwrap_or(0) + 1;
        let folder = self.directory.join("generations");
        write_atomically(&folder.join(format!("{next:010}")), b"")?;
        for old in taken.iter().skip(1) {
            let _ = std::fs::remove_file(folder.join(format!("{old:010}")));
        }
        Ok(next)
    }

    async fn manifests(&self) -> Result<Vec<Manifest>> {
        let mut manifests = Vec::new();
        for number in self.numbers("epochs")? {
            let path = self.epoch_path(Epoch(number));
            let bytes = std::fs::read(&path).map_err(io(format!("{} cannot be read", path.display())))?;
            manifests.push(Manifest::decode(&path.display().to_string(), &bytes)?);
        }
        Ok(manifests)
    }

    async fn write(&self, manifest: &Manifest) -> Result<()> {
        let path = self.epoch_path(manifest.epoch);
        if path.exists() {
            return Err(Error::internal(format!("{} exists already", path.display())));
        }
        write_atomically(&path, &manifest.encode()?)
    }

    async fn remove(&self, epoch: Epoch) -> Result<()> {
        let path = self.epoch_path(epoch);
        std::fs::remove_file(&path).map_err(io(format!("{} cannot be removed", path.display())))?;
        std::fs::File::open(self.directory.join("epochs"))
            .and_then(|folder| folder.sync_all())
            .map_err(io(format!("{} cannot be synced", path.display())))
    }

    async fn prune(&self, newest: Epoch) -> Result<()> {
        for number in self.numbers("epochs")?.into_iter().filter(|n| *n <= newest.0).skip(MANIFESTS_KEPT) {
            let _ = std::fs::remove_file(self.epoch_path(Epoch(number)));
        }
        Ok(())
    }

    fn journal(&self) -> Option<PathBuf> {
        Some(self.directory.join("journal"))
    }

    fn requests(&self) -> Option<PathBuf> {
        Some(self.directory.join("requests"))
    }

    fn describe(&self) -> String {
        self.directory.display().to_string()
    }
}

/// A prefix of an object store. Manifests and generations are written by put-if-absent, which fences a second
/// process: of two writers of an epoch one fails.
pub struct RemoteStore {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    shown: String,
}

impl RemoteStore {
    /// `url` such as `s3://bucket/path`; `options` are the store's own (keys, region, endpoint).
    pub fn open(url: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let parsed = url::Url::parse(url)
            .map_err(|e| Error::user(format!("'{url}' is not a URL of a checkpoint directory")).with_source(e))?;
        let (store, prefix) = object_store::parse_url_opts(&parsed, options)
            .map_err(|e| Error::user(format!("checkpoint directory '{url}' cannot be used")).with_source(e))?;
        Ok(Self { store: store.into(), prefix, shown: url.to_owned() })
    }

    #[cfg(test)]
    fn in_memory() -> Self {
        Self {
            store: Arc::new(object_store::memory::InMemory::new()),
            prefix: ObjectPath::from("state"),
            shown: "memory".into(),
        }
    }

    fn path(&self, rest: &str) -> ObjectPath {
        rest.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn failed(&self, what: &str) -> impl FnOnce(object_store::Error) -> Error {
        let text = format!("checkpoint directory {}: {what}", self.shown);
        move |e| Error::unavailable(text).with_source(e)
    }

    async fn numbers(&self, folder: &str) -> Result<Vec<u64>> {
        let path = self.path(folder);
        let listed: Vec<_> = self.store.list(Some(&path)).try_collect().await.map_err(self.failed("listing failed"))?;
        let mut numbers: Vec<u64> =
            listed.iter().filter_map(|meta| meta.location.filename()?.trim_end_matches(".json").parse().ok()).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    async fn put_new(&self, path: &ObjectPath, bytes: Vec<u8>) -> Result<bool> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(path, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(e) => Err(self.failed("writing failed")(e)),
        }
    }

    fn epoch_path(&self, epoch: Epoch) -> ObjectPath {
        self.path(&format!("epochs/{:010}.json", epoch.0))
    }
}

#[async_trait]
impl CheckpointStore for RemoteStore {
    async fn open(&self, new_job_id: &str, name: &str) -> Result<JobRecord> {
        let path = self.path("job.json");
        let record = JobRecord { job_id: new_job_id.into(), name: name.into() };
        let text = serde_json::to_vec(&record).map_err(|e| Error::internal("job.json").with_source(e))?;
        if self.put_new(&path, text).await? {
            return Ok(record);
        }
        let found = self.store.get(&path).await.map_err(self.failed("reading failed"))?;
        let bytes = found.bytes().await.map_err(self.failed("reading failed"))?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::internal(format!("{}/job.json is damaged", self.shown)).with_source(e))
    }

    async fn rename(&self, record: &JobRecord) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(|e| Error::internal("job.json").with_source(e))?;
        let path = self.path("job.json");
        self.store.put(&path, text.into()).await.map_err(self.failed("writing failed"))?;
        Ok(())
    }

    async fn claim_generation(&self) -> Result<u64> {
        loop {
            let next = self.numbers("generations").await?.first().copied().unwrap_or(0) + 1;
            if self.put_new(&self.path(&format!("generations/{next:010}")), Vec::new()).await? {
                return Ok(next);
            }
        }
    }

    async fn manifests(&self) -> Result<Vec<Manifest>> {
        let mut manifests = Vec::new();
        for number in self.numbers("epochs").await?.into_iter().take(MANIFESTS_KEPT) {
            let path = self.epoch_path(Epoch(number));
            let found = self.store.get(&path).await.map_err(self.failed("reading failed"))?;
            let bytes = found.bytes().await.map_err(self.failed("reading failed"))?;
            manifests.push(Manifest::decode(path.as_ref(), &bytes)?);
        }
        Ok(manifests)
    }

    async fn write(&self, manifest: &Manifest) -> Result<()> {
        let path = self.epoch_path(manifest.epoch);
        if self.put_new(&path, manifest.encode()?).await? {
            return Ok(());
        }
        Err(Error::refused(format!("epoch {} exists already in {}", manifest.epoch, self.shown))
            .with_hint("another process runs this job with the same checkpoint directory"))
    }

    async fn remove(&self, epoch: Epoch) -> Result<()> {
        self.store.delete(&self.epoch_path(epoch)).await.map_err(self.failed("removing failed"))
    }

    async fn prune(&self, newest: Epoch) -> Result<()> {
        for number in self.numbers("epochs").await?.into_iter().filter(|n| *n <= newest.0).skip(MANIFESTS_KEPT) {
            let _ = self.store.delete(&self.epoch_path(Epoch(number))).await;
        }
        Ok(())
    }

    fn journal(&self) -> Option<PathBuf> {
        None
    }

    fn describe(&self) -> String {
        self.shown.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::sample;

    async fn keeps_its_promises(store: &dyn CheckpointStore) {
        let record = store.open("ab12cd34", "orders").await.unwrap();
        assert_eq!(store.open("ffffffff", "other").await.unwrap(), record);
        assert_eq!(store.claim_generation().await.unwrap(), 1);
        assert_eq!(store.claim_generation().await.unwrap(), 2);
        assert_eq!(store.claim_generation().await.unwrap(), 3);
        assert!(store.manifests().await.unwrap().is_empty());
        for epoch in 1..=6 {
            store.write(&sample(epoch)).await.unwrap();
            store.prune(Epoch(epoch)).await.unwrap();
        }
        assert!(store.write(&sample(6)).await.is_err(), "an epoch is written once");
        let epochs: Vec<_> = store.manifests().await.unwrap().iter().map(|m| m.epoch.0).collect();
        assert_eq!(epochs, [6, 5, 4]);
        store.remove(Epoch(6)).await.unwrap();
        assert_eq!(store.manifests().await.unwrap()[0], sample(5));
        let renamed = JobRecord { job_id: "00000001".into(), ..record };
        store.rename(&renamed).await.unwrap();
        assert_eq!(store.open("ffffffff", "other").await.unwrap(), renamed);
    }

    #[tokio::test]
    async fn a_local_directory_keeps_the_stores_promises() {
        let folder = tempfile::tempdir().unwrap();
        keeps_its_promises(&LocalStore::open(folder.path()).unwrap()).await;
    }

    #[tokio::test]
    async fn an_object_store_keeps_the_stores_promises() {
        keeps_its_promises(&RemoteStore::in_memory()).await;
    }

    #[test]
    fn a_second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = LocalStore::open(folder.path()).unwrap();
        let error = LocalStore::open(folder.path()).err().unwrap();
        assert!(error.message.contains("used by another process"), "{}", error.message);
        drop(first);
        assert!(LocalStore::open(folder.path()).is_ok());
    }

    #[test]
    fn a_directory_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("FORMAT"), "starweir-state 9\n").unwrap();
        assert!(LocalStore::open(folder.path()).is_err());
    }
}
