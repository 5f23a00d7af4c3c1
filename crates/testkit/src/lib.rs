//! For tests and development tools only: processes that are started, waited for and killed, real servers, free
//! ports, and a generator of chance that replays.

pub mod chance;
pub mod kafka;
pub mod process;
pub mod proxy;

pub use chance::Chance;
pub use kafka::Kafka;
pub use process::{Server, free_port, wait_until};
pub use proxy::{Fault, Proxy};
