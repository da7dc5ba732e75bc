"""What people read: tables in Markdown, a picture, and the page that has both."""
