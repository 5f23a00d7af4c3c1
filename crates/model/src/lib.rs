//! The words of Starweir: data types and their Arrow form, schemas, row kinds, [`ChangeBatch`],
//! epochs, labels, option definitions, error kinds, the clock.
//!
//! Nothing here does I/O, reads the environment or knows another crate of ours. Start from
//! [`DataType`], [`ChangeBatch`] and [`OptionDef`].

pub mod change;
pub mod clock;
pub mod error;
pub mod ids;
pub mod option;
pub mod schema;
pub mod suggest;
pub mod types;

pub use change::{ChangeBatch, RowKind, RowKinds};
pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use ids::{Epoch, Label, Offset, SplitId, TableName};
pub use option::{OptionDef, OptionType, Options};
pub use schema::{Column, Schema};
pub use suggest::nearest;
pub use types::{DataType, Field, LogicalType};
