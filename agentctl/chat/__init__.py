"""The interactive chat: pure view and drafts, an asyncio connection, a prompt_toolkit screen, and the controller between them."""
