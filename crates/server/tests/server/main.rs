//! The server from outside: real servers on free ports with embedded engines in folders of their own.

mod access;
mod alike;
mod binary;
mod chat;
mod client;
mod commands;
mod lifecycle;
mod listener;
mod openapi;
mod operators;
mod problems;
mod protocol_page;
mod server;
mod websocket;
