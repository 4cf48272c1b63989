//! What a process does at its start: it loads the settings and opens the database.

pub mod open;
pub mod settings;
