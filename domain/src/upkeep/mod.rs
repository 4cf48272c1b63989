//! Maintenance: sweeps, which run by themselves, and imports, checks of the data and work on jobs, which staff do.

pub mod housekeeping;
pub mod import;
pub mod integrity;
pub mod job_admin;
