"""`python -m interceptor` is the same as the `interceptor` command."""

from interceptor.cli.main import main

if __name__ == "__main__":
    main()
