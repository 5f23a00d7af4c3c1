//! The words of Starweir: data types and their Arrow form, schemas, row kinds, [`ChangeBatch`],
//! epochs, labels, option definitions, error kinds, the clock.
//!
//! Nothing here does I/O, reads the environment or knows another crate of ours. Start from
//! [`DataType`], [`ChangeBatch`] and [`OptionDef`]; for change data capture from [`TableSchema`] and [`SchemaChange`].

pub mod change;
pub mod clock;
pub mod error;
pub mod ids;
pub mod option;
pub mod schema;
pub mod selector;
pub mod suggest;
pub mod table;
pub mod type_text;
pub mod types;
pub mod value;

pub use change::{ChangeBatch, RowKind, RowKinds};
pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use ids::{Epoch, Label, Offset, SplitId, TableName};
pub use option::{OptionDef, OptionType, Options};
pub use schema::{Column, Schema};
pub use selector::Selector;
pub use suggest::nearest;
pub use table::{AddedColumn, ColumnPosition, SchemaChange, SchemaChangeKind, TableColumn, TableId, TableSchema};
pub use types::{DataType, Field, LogicalType};
pub use value::{ChangeOp, Decimal, Instant, RowChange, Value};
