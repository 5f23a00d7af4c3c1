//! What a running job is asked for from outside: files in its state directory, each taken away when it is carried out.
//!
//! A request may be carried out twice: the process can die before the file is gone.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use starweir_model::{Error, Result};

use crate::store::write_atomically;

/// Something a job is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Read these source tables again from their beginning, into emptied sink tables.
    Resync(Vec<String>),
}

/// A request and the file it is in.
#[derive(Debug)]
pub struct Waiting {
    pub request: Request,
    path: PathBuf,
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::refused(format!("requests in {} cannot be reached", path.display())).with_source(error)
}

/// Leaves a request in a job's folder of requests. `name` tells requests apart and orders them.
pub fn leave(folder: &Path, name: &str, request: &Request) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    let path = folder.join(format!("{name}.json"));
    let text =
        serde_json::to_vec(request).map_err(|e| Error::internal("a request cannot be written").with_source(e))?;
    write_atomically(&path, &text)?;
    Ok(path)
}

/// The requests that wait, in order.
pub fn waiting(folder: &Path) -> Result<Vec<Waiting>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(folder, e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| failed(folder, e))?.path();
        if path.extension().is_some_and(|end| end == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let text = std::fs::read(&path).map_err(|e| failed(&path, e))?;
        let request = serde_json::from_slice(&text)
            .map_err(|e| Error::user(format!("{} holds no request", path.display())).with_source(e))?;
        found.push(Waiting { request, path });
    }
    Ok(found)
}

impl Waiting {
    /// It was carried out.
    pub fn done(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|e| failed(&self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_wait_in_order_until_they_are_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests");
        assert!(waiting(&path).unwrap().is_empty());
        let (second, first) = (Request::Resync(vec!["a.b".into()]), Request::Resync(vec!["a.c".into()]));
        leave(&path, "2", &second).unwrap();
        leave(&path, "1", &first).unwrap();
        let found: Vec<Request> = waiting(&path).unwrap().into_iter().map(|w| w.request).collect();
        assert_eq!(found, [first, second.clone()]);
        waiting(&path).unwrap().remove(0).done().unwrap();
        assert_eq!(waiting(&path).unwrap()[0].request, second);
        std::fs::write(path.join("3.json"), "{}").unwrap();
        assert!(waiting(&path).is_err());
    }
}
