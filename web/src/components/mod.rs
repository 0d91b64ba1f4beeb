//! The console's parts: each is a function of what the API answers.

pub mod answer;
pub mod ask;
pub mod attempts;
pub mod bars;
pub mod changes;
pub mod copy;
pub mod events;
pub mod filters;
pub mod freeze;
pub mod jump;
pub mod log_stream;
pub mod logs;
pub mod panels;
pub mod rollback;
pub mod rows;
pub mod shape;
pub mod shell;
pub mod spark;
pub mod task_table;
pub mod text;
pub mod time;
