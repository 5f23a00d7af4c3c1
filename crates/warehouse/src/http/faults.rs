//! Faults that a test scripts: first in, first out, each used up after `count` hits.
//!
//! `POST /api/starweir/faults` on the FE port (only when the warehouse was started with faults
//! allowed) takes a JSON array and appends it to the list; `DELETE` clears the list; `GET` shows what
//! is left. A fault: `{"op": …, "match": …, "count": 1, "after": 0, "action": …, …}`.
//!
//! | field | meaning |
//! |---|---|
//! | `op` | `stream_load`, `begin`, `load`, `prepare`, `commit`, `rollback`, `get_load_state` or `any` |
//! | `match` | text that the table or the label contains; absent: every request |
//! | `count` | how many requests it hits (default 1) |
//! | `after` | matching requests that pass first (default 0) |
//!
//! | `action` | further fields | effect |
//! |---|---|---|
//! | `reply` | `status` (HTTP, 200), `text` | answers so, without acting |
//! | `lose_answer` | | acts, then closes the connection without an answer |
//! | `drop` | | closes the connection without acting |
//! | `delay` | `ms` | waits, then acts |
//! | `cut` | | closes the connection in the middle of the body; nothing is kept |
//! | `publish_timeout` | | acts; answers `Publish Timeout` (a commit: FAILED "publish timeout …") |
//! | `txn_in_processing` | | answers `TXN_IN_PROCESSING`, without acting |
//! | `too_many_versions` | | answers the "too many versions" failure, without acting |
//! | `no_backend` | | answers "No backend alive." without acting (FE) |
//! | `redirect` | `location` (default an address nobody listens on) | answers 307 to it (FE) |
//! | `expire` | | the label's transaction is aborted by timeout, then acts |
//! | `forget` | | the label is forgotten, then acts |

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    Reply {
        #[serde(default = "ok_status")]
        status: u16,
        #[serde(default)]
        text: String,
    },
    LoseAnswer,
    Drop,
    Delay {
        ms: u64,
    },
    Cut,
    PublishTimeout,
    TxnInProcessing,
    TooManyVersions,
    NoBackend,
    Redirect {
        #[serde(default)]
        location: Option<String>,
    },
    Expire,
    Forget,
}

fn ok_status() -> u16 {
    200
}

fn one() -> u32 {
    1
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    pub op: String,
    #[serde(default, rename = "match")]
    pub matches: Option<String>,
    #[serde(default = "one")]
    pub count: u32,
    #[serde(default)]
    pub after: u32,
    #[serde(flatten)]
    pub action: Action,
}

/// Faults waiting at most.
const FAULTS_MAX: usize = 10_000;

#[derive(Default)]
pub struct Faults {
    list: Mutex<Vec<Fault>>,
}

impl Faults {
    /// False when the list would become too long.
    pub fn add(&self, more: Vec<Fault>) -> bool {
        let mut list = self.list.lock();
        if list.len() + more.len() > FAULTS_MAX {
            return false;
        }
        list.extend(more);
        true
    }

    pub fn clear(&self) {
        self.list.lock().clear();
    }

    pub fn left(&self) -> Vec<Fault> {
        self.list.lock().clone()
    }

    /// Takes the first fault for this request on this door.
    pub fn take(&self, op: &str, table: &str, label: &str, at_fe: bool) -> Option<Action> {
        let mut list = self.list.lock();
        let mut i = 0;
        while i < list.len() {
            let f = &mut list[i];
            let fe_only = matches!(f.action, Action::NoBackend | Action::Redirect { .. });
            let hit = (f.op == op || f.op == "any")
                && fe_only == at_fe
                && f.matches.as_ref().is_none_or(|m| table.contains(m.as_str()) || label.contains(m.as_str()));
            if hit {
                if f.after > 0 {
                    f.after -= 1;
                    i += 1;
                    continue;
                }
                let action = f.action.clone();
                f.count = f.count.saturating_sub(1);
                if f.count == 0 {
                    list.remove(i);
                }
                return Some(action);
            }
            i += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_used_in_order_and_used_up() {
        let faults = Faults::default();
        let list: Vec<Fault> = serde_json::from_str(
            r#"[{"op":"load","match":"t1","count":2,"action":"lose_answer"},{"op":"any","action":"reply","text":"x"}]"#,
        )
        .unwrap();
        assert!(faults.add(list));
        assert_eq!(faults.take("load", "t1", "l", false), Some(Action::LoseAnswer));
        assert_eq!(faults.take("load", "t2", "l", false), Some(Action::Reply { status: 200, text: "x".into() }));
        assert_eq!(faults.take("commit", "t1", "l", false), None);
        assert_eq!(faults.take("load", "t1", "l", false), Some(Action::LoseAnswer));
        assert_eq!(faults.take("load", "t1", "l", false), None);
    }
}
