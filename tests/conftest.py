pytest_plugins = ["escrowd.testing.fixtures"]
