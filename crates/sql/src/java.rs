//! What Java makes of regular expressions, date-time patterns and numbers in text, for the other languages of ours that
//! promise Java's behaviour row by row.

pub use crate::eval::cast::java_double;
pub use crate::eval::time::{
    Civil, NANOS_PER_DAY, NANOS_PER_MILLI, NANOS_PER_SECOND, Pattern, add_months, date_of, day_of_year, days_in_month,
    days_of, iso_week, iso_weekday,
};
pub use crate::functions::regex::Regex;
