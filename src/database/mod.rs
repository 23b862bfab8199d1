//! SQLite and PostgreSQL behind one small interface: addresses, connections whose every wait is bounded, schemas, and
//! errors sorted by what follows from them.
//!
//! [`crate::store`] and [`crate::logs`] build on it; what the rows mean is theirs. sqlx is known here and nowhere else,
//! but for the types of its statements.

pub(crate) mod connection;
pub mod error;
pub(crate) mod open;
pub mod url;

pub use self::{
    error::DatabaseError,
    open::Options,
    url::{DatabaseUrl, UrlError},
};
