"""What goes over the wire to readers and from them: messages, cursors, endings, options, frames."""
