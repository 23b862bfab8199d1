//! What the tests share that run the program as a process, each by the parts it needs.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod checker;
pub mod command;
pub mod ending;
pub mod exposition;
pub mod folder;
pub mod http;
pub mod letters;
pub mod load;
pub mod log;
pub mod program;
pub mod reference;
pub mod scraper;
pub mod sender;
pub mod stage;
