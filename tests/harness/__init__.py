"""What the tests stand on: real servers, fresh databases, a real pooler, the installed command."""
