//! What becomes of jobs when processes die, stop, block, or have a wrong clock. Workers are processes of their own
//! here: this test binary, started once more as [`process`] says. Each test judges from what is left behind: the jobs,
//! the effects that committed, and the notes that each process took of its runs.

mod clock;
mod crash;
mod process;
mod scene;
mod stall;
