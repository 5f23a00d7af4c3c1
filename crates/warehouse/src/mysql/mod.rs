//! The MySQL protocol, server side: handshake, text and prepared statements, multi-statements.

pub mod packet;
pub mod result;
pub mod server;
