//! The server from outside: real servers on free ports with embedded engines in folders of their own.

mod access;
mod alike;
mod binary;
mod chat;
mod client;
mod commands;
mod full;
mod kept;
mod lifecycle;
mod listener;
mod openapi;
mod operators;
mod problems;
mod process;
mod protocol_page;
mod safekeeping;
mod server;
mod websocket;
