//! The server from outside: real servers on free ports with embedded engines in folders of their own.

mod chat;
mod client;
mod commands;
mod lifecycle;
mod listener;
mod openapi;
mod operators;
mod problems;
mod server;
mod websocket;
