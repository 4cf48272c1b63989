//! What a process needs when it starts: its settings, and the database opened.

pub mod open;
pub mod settings;
