//! The warehouse as one thing: its configuration, start and end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use starweir_model::{Clock, Error, Result, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::core::{Addresses, Core};
use crate::http::server::{self, Door};
use crate::mysql::keys::{Keys, Tls};
use crate::sql::planner::Planner;
use crate::sql::session::{Outcome, Session};
use crate::store::{Store, StoreConfig};
use crate::users::Users;

/// How a warehouse is started. Ports of 0 mean any free port.
#[derive(Clone)]
pub struct Config {
    /// Where data is kept. None: a temporary directory that goes with the warehouse, without fsync.
    pub data_dir: Option<PathBuf>,
    pub host: IpAddr,
    pub mysql_port: u16,
    /// The FE's HTTP port.
    pub http_port: u16,
    /// The BE's HTTP port.
    pub be_port: u16,
    /// The administrator, who may do everything.
    pub user: String,
    /// The administrator's password while this runs. Empty: the one that was set by SQL, or none.
    pub password: String,
    /// Whether the MySQL port offers TLS.
    pub tls: Tls,
    /// Whether `POST /api/starweir/faults` is answered.
    pub allow_faults: bool,
    /// Memory for queries, and again for bodies of loads, in bytes.
    pub memory_bytes: u64,
    pub clock: Arc<dyn Clock>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: None,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            mysql_port: 0,
            http_port: 0,
            be_port: 0,
            user: "root".into(),
            password: String::new(),
            tls: Tls::Off,
            allow_faults: false,
            memory_bytes: 2 << 30,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A running warehouse.
pub struct Warehouse {
    core: Arc<Core>,
    addresses: Addresses,
    stop: CancellationToken,
    tasks: TaskTracker,
    temporary: Option<PathBuf>,
    /// Threads of our own: planning a deep query needs more stack than a runtime usually gives.
    runtime: Option<tokio::runtime::Runtime>,
}

/// Stack of a thread that plans queries, in bytes.
const STACK_BYTES: usize = 64 << 20;

/// How often transactions are looked at for their time limits.
const EXPIRE_EVERY: Duration = Duration::from_millis(500);

impl Warehouse {
    /// Opens the data directory and listens.
    ///
    /// # Errors
    /// `Refused` when the directory is in use or of another format, or a port is taken; `Internal` when
    /// a file of the directory is damaged (it is named).
    pub async fn start(config: Config) -> Result<Warehouse> {
        let temporary = match &config.data_dir {
            Some(_) => None,
            None => Some(std::env::temp_dir().join(format!("starweir-warehouse-{}", uuid::Uuid::new_v4()))),
        };
        let dir = config.data_dir.clone().or_else(|| temporary.clone()).unwrap_or_default();
        let durable = temporary.is_none();
        let store_config = StoreConfig { dir: dir.clone(), durable, clock: config.clock.clone() };
        let (user, password, tls, host) = (config.user.clone(), config.password, config.tls, config.host);
        let opened = tokio::task::spawn_blocking(move || {
            let store = Store::open(store_config)?;
            let keys = Keys::open(&dir, &tls, host, store.now_ms())?;
            let users = Users::open(&dir, durable, &user, &password)?;
            Ok::<_, Error>((store, users, keys))
        });
        let (store, users, keys) =
            opened.await.map_err(|e| Error::internal("cannot open the data directory").with_source(e))??;
        let planner = Planner::new(config.memory_bytes)?;
        let core = Core::new(store, planner, config.user, users, keys, config.allow_faults, config.memory_bytes);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8)))
            .thread_stack_size(STACK_BYTES)
            .thread_name("warehouse")
            .enable_all()
            .build()
            .map_err(|e| Error::internal("cannot start the warehouse's threads").with_source(e))?;
        let mut listeners = Vec::new();
        for (port, what) in [
            (config.mysql_port, "MySQL clients"),
            (config.http_port, "HTTP clients"),
            (config.be_port, "loads"),
            (0, "scans"),
        ] {
            let address = SocketAddr::new(config.host, port);
            let bound = runtime.spawn(TcpListener::bind(address)).await.map_err(std::io::Error::other).and_then(|b| b);
            let listener = bound.map_err(|e| {
                Error::refused(format!("cannot listen on {address} for {what}"))
                    .with_source(e)
                    .with_hint("another program has the port; name a different one")
            });
            match listener {
                Ok(l) => listeners.push(l),
                Err(e) => {
                    runtime.shutdown_background();
                    return Err(e);
                }
            }
        }
        let [mysql, fe, be, thrift]: [TcpListener; 4] =
            listeners.try_into().map_err(|_| Error::internal("a listener is missing"))?;
        let address =
            |l: &TcpListener| l.local_addr().map_err(|e| Error::internal("a listener has no address").with_source(e));
        let addresses =
            Addresses { mysql: address(&mysql)?, http: address(&fe)?, be: address(&be)?, thrift: address(&thrift)? };
        *core.addresses.write() = Some(addresses);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let handle = runtime.handle();
        tasks.spawn_on(crate::mysql::server::serve(mysql, core.clone(), stop.clone()), handle);
        tasks.spawn_on(server::serve(fe, core.clone(), Door::Fe, stop.clone()), handle);
        tasks.spawn_on(server::serve(be, core.clone(), Door::Be, stop.clone()), handle);
        tasks.spawn_on(crate::scan::serve(thrift, core.clone(), stop.clone()), handle);
        tasks.spawn_on(expire(core.clone(), stop.clone()), handle);
        tasks.close();
        Ok(Warehouse { core, addresses, stop, tasks, temporary, runtime: Some(runtime) })
    }

    pub fn mysql_addr(&self) -> SocketAddr {
        self.addresses.mysql
    }

    pub fn http_addr(&self) -> SocketAddr {
        self.addresses.http
    }

    pub fn be_addr(&self) -> SocketAddr {
        self.addresses.be
    }

    /// Where connectors scan (thrift).
    pub fn scan_addr(&self) -> SocketAddr {
        self.addresses.thrift
    }

    /// Runs statements in a session of their own and gives the rows of the last one.
    ///
    /// # Errors
    /// `Refused` with the server's sentence and code, from the first statement that failed.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let Some(runtime) = &self.runtime else { return Err(Error::internal("the warehouse was shut down")) };
        let (core, sql) = (self.core.clone(), sql.to_string());
        let work = runtime.spawn(async move {
            let mut session = Session::new(core);
            let mut last = Vec::new();
            for outcome in session.execute(&sql, Vec::new()).await {
                if let Outcome::Rows(rows) = outcome? {
                    last = rows.batches;
                }
            }
            Ok(last)
        });
        work.await.map_err(|e| Error::internal("a query ended unexpectedly").with_source(e))?
    }

    /// A user and password for this process's own clients, whatever passwords were set. They go with the warehouse.
    pub fn local_login(&self) -> (String, String) {
        let (user, password) = (format!("local-{}", uuid::Uuid::new_v4().simple()), uuid::Uuid::new_v4().to_string());
        self.core.users.add_transient(&user, &password);
        (user, password)
    }

    /// Closes the ports, ends connections, and lets go of the directory.
    pub async fn shutdown(mut self) -> Result<()> {
        self.stop.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(10), self.tasks.wait()).await;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        if let Some(dir) = &self.temporary {
            let dir = dir.clone();
            let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(dir)).await;
            if let Ok(Err(e)) = removed {
                return Err(Error::internal("cannot remove the temporary data directory").with_source(e));
            }
        }
        Ok(())
    }
}

impl Drop for Warehouse {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: this may run on a thread of another runtime.
            runtime.shutdown_background();
        }
    }
}

async fn expire(core: Arc<Core>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EXPIRE_EVERY) => {}
        }
        let worker = core.clone();
        match tokio::task::spawn_blocking(move || worker.store.expire()).await {
            Ok(Err(e)) => tracing::warn!(error = %e.chain(), "cannot expire transactions"),
            Err(e) => tracing::warn!(error = %e, "cannot expire transactions"),
            Ok(Ok(())) => {}
        }
    }
}
