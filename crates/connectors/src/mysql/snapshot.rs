//! Which chunks of which tables are being read, and by whom.
//!
//! A chunk is read while a *window* is open on its table: from the window's beginning on, the keys that the stream
//! touches are remembered, and when the stream has passed everything the read can contain, the chunk's rows whose keys
//! were not touched are given out. So the order of a key's images is always the order of the log.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use serde::{Deserialize, Serialize};
use starweir_formats::mysql::{RowBatch, TableKey};
use starweir_model::{ChangeBatch, Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

use super::chunk::{KeyRange, TableRead, estimate};
use super::connect::connect;
use super::options::Settings;
use super::position::Place;
use super::server::{Server, must_run};

/// A chunk whose table changed under it is tried again after this pause; the stream will have told by then.
const STALE_PAUSE: Duration = Duration::from_millis(100);
/// So often in a row; then the table cannot be read.
const STALE_MAX: u32 = 300;

/// How far the cutting of a table into chunks has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frontier {
    Start,
    After(Vec<String>),
    End,
}

/// What is left to read of one table. Plain data: it is part of the saved state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSnapshot {
    pub frontier: Frontier,
    /// Chunks before the frontier that are still to be read.
    pub todo: VecDeque<KeyRange>,
    pub chunks_done: u64,
    /// Estimated; zero when not known.
    #[serde(default)]
    pub chunks: u64,
    /// Whether a chunk of it was ever begun: before that its changes in the stream are of no use.
    pub begun: bool,
}

impl Default for TableSnapshot {
    /// Everything is left.
    fn default() -> Self {
        Self { frontier: Frontier::Start, todo: VecDeque::new(), chunks_done: 0, chunks: 0, begun: false }
    }
}

/// A chunk being read.
#[derive(Debug)]
pub(super) struct Window {
    pub table: TableKey,
    pub range: KeyRange,
    /// Its end is being looked for.
    splitting: bool,
    /// Keys the stream touched since the window was opened.
    pub touched: HashSet<Box<[u8]>>,
    /// The rows, and the place that the stream must have passed.
    pub result: Option<(ChangeBatch, Place)>,
    /// The table changed: the rows are to be read again.
    pub stale: bool,
    /// The table has no key: it is read as a whole.
    pub whole: Option<Whole>,
}

/// The reading of a table without a key. Nothing can be told apart by key, so the view must contain exactly the table's
/// transactions up to its place: those are left out of the stream, later ones are held until the rows are given out.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// Where the view lies; until it is known the stream stands still.
    pub end: Option<Place>,
    /// Lets the reading begin, when the stream has reached the place.
    go: Option<oneshot::Sender<()>>,
    /// Rows being given out: the state cannot be saved in between.
    pub giving: bool,
    /// Changes after the view, with their time.
    pub held: Vec<(ChangeBatch, i64)>,
}

struct Request {
    window: u64,
    read: Arc<TableRead>,
    range: KeyRange,
    split: bool,
    contain: Place,
    rows: u64,
    /// The table is read as a whole, when told to.
    whole: Option<oneshot::Receiver<()>>,
}

enum Report {
    /// The end of the chunk that is being read; None for the table's end. Also the estimate of the table's rows.
    Split {
        window: u64,
        high: Option<Vec<String>>,
        rows: Option<u64>,
    },
    Read {
        window: u64,
        batch: ChangeBatch,
        end: Place,
    },
    /// The view of a table without a key is open.
    Opened {
        window: u64,
        end: Place,
    },
    /// Some rows of such a table.
    Part {
        window: u64,
        batch: ChangeBatch,
    },
    /// The table is not as it was thought to be.
    Stale {
        window: u64,
        error: Error,
    },
    Failed(Error),
}

struct Worker {
    requests: mpsc::Sender<Request>,
    window: Option<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tables with a snapshot in progress, the windows open on them, and the connections that read.
pub(super) struct Snapshots {
    settings: Arc<Settings>,
    server: Arc<Server>,
    pub tables: BTreeMap<TableKey, TableSnapshot>,
    pub windows: BTreeMap<u64, Window>,
    next_window: u64,
    workers: Vec<Worker>,
    workers_max: usize,
    reports: mpsc::Receiver<Report>,
    report: mpsc::Sender<Report>,
    stale_in_row: BTreeMap<TableKey, u32>,
    /// Rows of tables without a key that are to be given out.
    pub parts: Vec<(TableKey, ChangeBatch)>,
}

impl Snapshots {
    pub fn new(settings: Arc<Settings>, server: Arc<Server>, workers_max: usize) -> Self {
        let (report, reports) = mpsc::channel(workers_max.max(1) * 2);
        Self {
            settings,
            server,
            tables: BTreeMap::new(),
            windows: BTreeMap::new(),
            next_window: 0,
            workers: Vec::new(),
            workers_max: workers_max.max(1),
            reports,
            report,
            stale_in_row: BTreeMap::new(),
            parts: Vec::new(),
        }
    }

    /// Nothing is left to read.
    pub fn is_done(&self) -> bool {
        self.tables.is_empty()
    }

    pub fn has_windows(&self, table: &TableKey) -> bool {
        self.windows.values().any(|w| w.table == *table)
    }

    /// Gives idle workers chunks to read. Called between transactions: `place` is where the stream stands.
    pub fn dispatch(&mut self, place: &Place, read_of: &dyn Fn(&TableKey) -> Option<TableRead>) -> Result<()> {
        if self.tables.is_empty() {
            self.workers.clear();
            return Ok(());
        }
        loop {
            let busy = self.workers.iter().filter(|w| w.window.is_some()).count();
            if busy >= self.workers_max {
                return Ok(());
            }
            let Some((table, range, split)) = self.next_chunk() else { return Ok(()) };
            let Some(worker) = self.idle_worker() else { return Ok(()) };
            let Some(read) = read_of(&table) else {
                // The table is gone.
                self.tables.remove(&table);
                continue;
            };
            if let Some(state) = self.tables.get_mut(&table) {
                state.begun = true;
                if !split {
                    state.todo.pop_front();
                }
            }
            let (whole, go) = match read.primary.is_empty() {
                true => {
                    let (sender, receiver) = oneshot::channel();
                    (Some(Whole { go: Some(sender), ..Whole::default() }), Some(receiver))
                }
                false => (None, None),
            };
            self.next_window += 1;
            let window = self.next_window;
            self.windows.insert(
                window,
                Window {
                    table,
                    range: range.clone(),
                    splitting: split,
                    touched: HashSet::new(),
                    result: None,
                    stale: false,
                    whole,
                },
            );
            let request = Request {
                window,
                read: Arc::new(read),
                range,
                split,
                contain: place.clone(),
                rows: self.settings.chunk_rows,
                whole: go,
            };
            self.workers[worker].window = Some(window);
            if self.workers[worker].requests.try_send(request).is_err() {
                return Err(Error::unavailable("a reader of snapshots has ended"));
            }
        }
    }

    /// The next chunk that nobody reads: of the tables in order, those begun first.
    fn next_chunk(&self) -> Option<(TableKey, KeyRange, bool)> {
        // At most as many finished chunks wait for the stream as there are workers, so memory is bounded.
        if self.windows.len() >= self.workers_max * 2 {
            return None;
        }
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_by_key(|(_, state)| !state.begun);
        for (table, state) in tables {
            if let Some(range) = state.todo.front() {
                return Some((table.clone(), range.clone(), false));
            }
            if self.windows.values().any(|w| w.splitting && w.table == *table) {
                continue;
            }
            let low = match &state.frontier {
                Frontier::Start => None,
                Frontier::After(key) => Some(key.clone()),
                Frontier::End => continue,
            };
            return Some((table.clone(), KeyRange { low, high: None }, true));
        }
        None
    }

    fn idle_worker(&mut self) -> Option<usize> {
        if let Some(idle) = self.workers.iter().position(|w| w.window.is_none()) {
            return Some(idle);
        }
        if self.workers.len() >= self.workers_max {
            return None;
        }
        let (requests, receiver) = mpsc::channel(1);
        let task = tokio::spawn(work(self.settings.clone(), self.server.clone(), receiver, self.report.clone()));
        self.workers.push(Worker { requests, window: None, task });
        Some(self.workers.len() - 1)
    }

    /// Waits for what a worker has to say; for ever when nothing is read. Cancel-safe.
    pub async fn reported(&mut self) -> Result<()> {
        match self.reports.recv().await {
            Some(report) => self.take(report),
            None => Ok(()),
        }
    }

    /// Takes what is there already.
    pub fn take_ready(&mut self) -> Result<()> {
        while let Ok(report) = self.reports.try_recv() {
            self.take(report)?;
        }
        Ok(())
    }

    fn take(&mut self, report: Report) -> Result<()> {
        match report {
            Report::Split { window, high, rows } => {
                let Some(open) = self.windows.get_mut(&window) else { return Ok(()) };
                open.range.high.clone_from(&high);
                open.splitting = false;
                if let Some(state) = self.tables.get_mut(&open.table) {
                    state.frontier = high.map_or(Frontier::End, Frontier::After);
                    if let Some(rows) = rows {
                        state.chunks = rows.div_ceil(self.settings.chunk_rows).max(1);
                    }
                }
            }
            Report::Read { window, batch, end } => {
                self.free(window);
                if let Some(open) = self.windows.get_mut(&window) {
                    self.stale_in_row.remove(&open.table);
                    if open.stale {
                        self.read_again(window);
                    } else {
                        open.result = Some((batch, end));
                    }
                }
            }
            Report::Opened { window, end } => {
                if let Some(whole) = self.windows.get_mut(&window).and_then(|w| w.whole.as_mut()) {
                    whole.end = Some(end);
                }
            }
            Report::Part { window, batch } => {
                if let Some(open) = self.windows.get(&window) {
                    self.parts.push((open.table.clone(), batch));
                }
            }
            Report::Stale { window, error } => {
                self.free(window);
                let Some(open) = self.windows.get(&window) else { return Ok(()) };
                let count = self.stale_in_row.entry(open.table.clone()).or_default();
                *count += 1;
                if *count > STALE_MAX {
                    let message = format!("read table {}.{} for its snapshot", open.table.0, open.table.1);
                    return Err(error.context(message));
                }
                self.read_again(window);
            }
            Report::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn free(&mut self, window: u64) {
        for worker in self.workers.iter_mut().filter(|w| w.window == Some(window)) {
            worker.window = None;
        }
    }

    /// Closes a window without its rows: the chunk is to be read anew.
    fn read_again(&mut self, window: u64) {
        let Some(open) = self.windows.remove(&window) else { return };
        if let Some(state) = self.tables.get_mut(&open.table)
            && !open.splitting
        {
            state.todo.push_front(open.range);
        }
        // What was held of a table without a key is in the next view.
    }

    /// The table's shape changed in the stream: what is being read of it is of the old one.
    pub fn invalidate(&mut self, table: &TableKey) -> Result<()> {
        let of_table: Vec<u64> = self.windows.iter().filter(|(_, w)| w.table == *table).map(|(id, _)| *id).collect();
        for id in of_table {
            let Some(open) = self.windows.get_mut(&id) else { continue };
            if let Some(whole) = &mut open.whole {
                if whole.giving {
                    let (database, table) = table;
                    return Err(Error::unavailable(format!(
                        "table {database}.{table}, which has no primary key, was changed during its snapshot"
                    )));
                }
                // Its reader gives up when nobody can tell it to begin.
                whole.go = None;
                open.stale = true;
            } else if open.result.is_some() {
                self.read_again(id);
            } else {
                open.stale = true;
            }
        }
        Ok(())
    }

    /// The view of a table without a key is being opened: the stream must stand still.
    pub fn is_opening(&self) -> bool {
        self.windows.values().any(|w| w.whole.as_ref().is_some_and(|whole| whole.end.is_none() && !w.stale))
    }

    /// The rows of a table without a key are being given out.
    pub fn is_giving(&self) -> bool {
        self.windows.values().any(|w| w.whole.as_ref().is_some_and(|whole| whole.giving))
    }

    /// The reading of the table as a whole, if that is being done.
    pub fn whole_of(&mut self, table: &TableKey) -> Option<&mut Whole> {
        self.windows.values_mut().find(|w| w.table == *table).and_then(|w| w.whole.as_mut())
    }

    /// Lets tables without a key be read whose place the stream has reached.
    pub fn let_go(&mut self, place: &Place) {
        for open in self.windows.values_mut() {
            let Some(whole) = &mut open.whole else { continue };
            if whole.end.as_ref().is_some_and(|end| place.reaches(end))
                && let Some(go) = whole.go.take()
            {
                whole.giving = true;
                let _ = go.send(());
            }
        }
    }

    /// The table is gone from the capture.
    pub fn forget(&mut self, table: &TableKey) {
        self.tables.remove(table);
        self.windows.retain(|_, w| w.table != *table);
    }

    /// A window whose end the stream has passed.
    pub fn passed(&self, place: &Place) -> Option<u64> {
        self.windows
            .iter()
            .find(|(_, w)| w.result.as_ref().is_some_and(|(_, end)| place.reaches(end)))
            .map(|(id, _)| *id)
    }

    /// Takes a window whose rows are given out now; also says whether its table is complete by that.
    pub fn close(&mut self, window: u64) -> Option<(Window, bool)> {
        let open = self.windows.remove(&window)?;
        let state = self.tables.get_mut(&open.table)?;
        if open.whole.is_some() {
            state.frontier = Frontier::End;
        }
        state.chunks_done += 1;
        state.chunks = state.chunks.max(state.chunks_done);
        let complete = state.frontier == Frontier::End
            && state.todo.is_empty()
            && !self.windows.values().any(|w| w.table == open.table);
        if complete {
            self.tables.remove(&open.table);
        }
        Some((open, complete))
    }

    /// What is left of a table, as it is saved: open windows are still to be read.
    pub fn saved(&self, table: &TableKey) -> Option<TableSnapshot> {
        let mut state = self.tables.get(table)?.clone();
        for open in self.windows.values().filter(|w| w.table == *table && !w.splitting) {
            state.todo.push_back(open.range.clone());
        }
        Some(state)
    }
}

async fn work(
    settings: Arc<Settings>,
    server: Arc<Server>,
    mut requests: mpsc::Receiver<Request>,
    reports: mpsc::Sender<Report>,
) {
    let mut conn: Option<Conn> = None;
    while let Some(request) = requests.recv().await {
        let window = request.window;
        let report = match one(&settings, &server, &mut conn, request, &reports).await {
            Ok((batch, end)) => Report::Read { window, batch, end },
            Err(error) if is_stale(&error) => {
                tokio::time::sleep(STALE_PAUSE).await;
                Report::Stale { window, error }
            }
            Err(error) => Report::Failed(error.context("read a part of a snapshot")),
        };
        if reports.send(report).await.is_err() {
            return;
        }
    }
}

/// Unknown column, unknown table, table changed: the stream will tell.
fn is_stale(error: &Error) -> bool {
    error.kind == ErrorKind::Refused
        && ["(error 1054)", "(error 1146)", "(error 1412)", "(error 1049)"]
            .iter()
            .any(|code| error.message.ends_with(code))
}

async fn one(
    settings: &Settings,
    server: &Server,
    conn: &mut Option<Conn>,
    mut request: Request,
    reports: &mpsc::Sender<Report>,
) -> Result<(ChangeBatch, Place)> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(connect(settings).await?),
    };
    if let Some(go) = request.whole.take() {
        let end = request.read.open_whole(conn, settings, server, &request.contain).await?;
        let window = request.window;
        let _ = reports.send(Report::Opened { window, end: end.clone() }).await;
        if go.await.is_err() {
            must_run(conn, "COMMIT").await?;
            return Err(Error::refused("the table changed (error 1412)"));
        }
        let part = |batch| Report::Part { window, batch };
        request.read.read_whole(conn, request.rows, reports, part).await?;
        let nothing = RowBatch::new(&request.read.schema, request.read.values)?.finish()?;
        return Ok((nothing, end));
    }
    if request.split {
        let rows = match request.range.low {
            None => Some(estimate(conn, &request.read.key).await?),
            Some(_) => None,
        };
        let high = request.read.split(conn, request.range.low.as_ref(), request.rows).await?;
        request.range.high.clone_from(&high);
        let _ = reports.send(Report::Split { window: request.window, high, rows }).await;
    }
    request.read.read(conn, server, &request.range, &request.contain).await
}
