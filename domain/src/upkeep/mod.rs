//! What runs by itself or is done by staff: sweeps, checks of the data, and work on jobs.

pub mod housekeeping;
pub mod integrity;
pub mod job_admin;
