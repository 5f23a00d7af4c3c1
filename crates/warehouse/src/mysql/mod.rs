//! The MySQL protocol, server side: handshake, text and prepared statements, multi-statements.

pub mod keys;
pub mod login;
pub mod packet;
pub mod result;
pub mod server;
