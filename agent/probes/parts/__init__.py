"""What check methods share: dialling, HTTP/1, TLS, expectations. The methods themselves never import each other."""
