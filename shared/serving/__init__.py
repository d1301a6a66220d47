"""What every service that scores events needs: loaded versions, the registry followed, rows routed."""
