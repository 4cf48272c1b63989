//! The kinds of runs.

use crate::base::text_enum::text_enum;

text_enum! {
    /// The kind of a run.
    RunKind {
        /// A pipeline.
        Pipeline = "pipeline",
        /// A studio session.
        Studio = "studio",
        /// A job.
        Job = "job",
    }
}
