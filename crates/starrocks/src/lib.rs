//! A client for StarRocks, usable alone: Stream Load and its transactions, labels, metadata and DDL, and encoders
//! from Arrow batches, structs and JSON texts.
//!
//! ```text
//! rows ─► encode ─► Body ─► Client::resolve_load ─────────────► visible, once
//!                      └──► Client::resolve_prepare ─► resolve_commit ─► visible, once, when you say so
//! ```
//!
//! Start from [`ClientConfig`], [`Client`] and [`LoadRequest`]. Methods named after an endpoint make one attempt;
//! those named `resolve_…` go on, under the same label, until it is known what happened. What to do after each
//! answer, or none, is one plain function: [`decide::decide`].
//!
//! ```no_run
//! use starweir_model::{Label, TableName};
//! use starweir_starrocks::{Client, ClientConfig, LoadRequest, RetryPolicy, encode};
//!
//! # async fn load() -> starweir_model::Result<()> {
//! let client = Client::new(ClientConfig::new("fe1:8030;fe2:8030")?.with_login("root", ""))?;
//! let (body, headers) = encode::json_lines([r#"{"id": 1, "name": "a"}"#])?;
//! let request = LoadRequest {
//!     table: TableName::new("shop", "customers"),
//!     label: Label::new("customers-2024-01-31-1").unwrap(),
//!     headers,
//!     body,
//! };
//! // Sending it again under this label changes nothing.
//! client.resolve_load(&request, &RetryPolicy::default()).await?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod client;
pub mod config;
pub mod ddl;
pub mod decide;
pub mod encode;
mod error_log;
mod fold;
mod http;
mod metadata;
mod resolve;
mod scan;
mod steps;
mod tables;
mod tls;
mod types;

pub use answer::{Answer, ExistingJob, LabelState, Status};
pub use client::{AttemptError, Client, LoadRequest, TransactionRequest};
pub use config::{ClientConfig, Endpoint, HostMapping};
pub use decide::{Congestion, Decision, Done, Facts, Final, Operation};
pub use encode::{CsvEncoder, CsvOptions, JsonEncoder, LoadEncoder, Operations};
pub use error_log::sanitize;
pub use fold::fold_by_key;
pub use http::{Body, Lost, Response, Sent, parse_response};
pub use metadata::{Metadata, TableColumn, TableDescription, TextRows, Version};
pub use resolve::{Observer, Resolved, RetryPolicy, TransactionLoad};
pub use scan::{RowStream, Select, key_condition};
pub use steps::Step;
pub use tables::{TableLoad, TablesLoad};
pub use types::{StarRocksType, accepts, key_type, target_type};
