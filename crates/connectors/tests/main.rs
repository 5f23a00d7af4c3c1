//! Connectors against outside systems, through the contracts the engine uses.

mod kafka;
mod mysql;
mod postgres;
mod scripts;
